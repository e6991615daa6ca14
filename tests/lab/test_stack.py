"""The stack of `make up`, where something is not as it was left."""

import json
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lab.errors import LabError
from lab.stack import Stack

pytestmark = [pytest.mark.postgres, pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that never was up, and needs no libvirt."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STILLFRAME_LIBVIRT_URI", "test:///default")
        try:
            yield stack
        finally:
            stack.down()
            stack.lab.remove()


def test_a_key_that_the_database_does_not_know_is_made_anew(stack: Stack) -> None:
    """Whoever removes the database alone is let in after the next start."""
    lost = stack.up(())["KEY"]
    stack.down()
    shutil.rmtree(stack.var / "lab" / "postgres")
    addresses = stack.up(("api",))
    assert stack.addresses()["KEY"] == addresses["KEY"] != lost
    request = urllib.request.Request(f"{addresses['URL']}/v1/me")
    request.add_header("Authorization", f"Bearer {addresses['KEY']}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["role"] == "root"


def test_another_program_on_the_port_is_not_taken_for_ours(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever took it between the look and the start: it is said that the address is in use."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401 if self.path.startswith("/v1") else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    stack.stop("api")
    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        monkeypatch.setattr("lab.stack._port", lambda *_: other.server_port)
        with pytest.raises(LabError, match="address already in use"):
            stack.up(("api",))
        other.shutdown()
