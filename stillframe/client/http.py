"""Requests and answers in the words of httpx, the same for both of its clients."""

from typing import TYPE_CHECKING, Any

from stillframe.client.exchange import Reply, Silence
from stillframe.client.request import Request

if TYPE_CHECKING:
    from ssl import SSLContext

    import httpx

#: Seconds for one request, beyond what the API was asked to wait.
TIMEOUT_S = 30.0
#: Seconds for which to go on asking: the API may be restarted meanwhile.
PATIENCE_S = 30.0


def options(url: str, key: str, timeout_s: float) -> dict[str, Any]:
    """How a client is made."""
    headers = {"Authorization": f"Bearer {key.strip()}"} if key.strip() else {}
    made = {"base_url": url.rstrip("/"), "headers": headers, "timeout": timeout_s}
    return made | {"verify": _trusting_nobody()} if url.lower().startswith("http://") else made


def _trusting_nobody() -> "SSLContext":
    """Where no certificate is asked for: to read those of all authorities takes longer than a request."""
    from ssl import PROTOCOL_TLS_CLIENT, SSLContext

    return SSLContext(PROTOCOL_TLS_CLIENT)


def arguments(request: Request, timeout_s: float) -> dict[str, Any]:
    """How a request is made."""
    return {
        "method": request.method,
        "url": request.path,
        "params": request.params,
        "headers": request.headers,
        "timeout": timeout_s + request.wait_s,
        **({} if request.body is None else {"json": request.body}),
    }


def reply_of(answer: "httpx.Response") -> Reply:
    """What was answered."""
    return Reply(
        answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content
    )


def silence_of(error: Exception) -> Silence:
    """Why nothing was answered."""
    import httpx

    unheard = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    wrong = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError)
    return Silence(f"{error}" or type(error).__name__, unheard, hopeless=wrong)
