"""`python -m web`: the API on Settings.listen, one process."""

import logging
import sys

import uvicorn

from stillframe.settings import Settings
from stillframe.trace import in_logs
from web.app import create_app
from web.server import Server


def main() -> int:
    """Serves until it is told to stop. Exit code 2 when a setting is missing or wrong, 3 when it cannot begin."""
    try:
        settings = Settings.from_env()
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not settings.database_url:
        sys.stderr.write("STILLFRAME_DATABASE_URL is not set\n")
        return 2
    host, _, port = settings.listen.rpartition(":")
    # Those who wait for a job's end ask again: a stop need not wait for them.
    in_logs()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s:%(trace)s %(message)s")
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=host.strip("[]"),
        port=int(port),
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=3,
    )
    server = Server(app, config)
    server.run()
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
