"""One POST to somebody else's server: to an address that was checked, within a time, without following it anywhere.

The name is resolved once, and the connection goes to the very address that was checked, so that a name which answers
otherwise the second time leads nowhere. Host, SNI and the certificate are those of the name.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from stillframe.addresses import Network, why_not

#: Seconds for all of it: name, connection, TLS, sending, and the answer's first line and headers.
WHOLE_S = 10.0
CONNECT_S = 5.0


@dataclass(frozen=True)
class Answer:
    """What came of it: a status, or why there is none. Nothing else of the answer is read."""

    status: int | None
    error: str | None
    took_ms: int

    @property
    def good(self) -> bool:
        """Whether it was taken."""
        return self.status is not None and 200 <= self.status < 300


class AddressRefused(OSError):
    """The name leads to no address that may be reached."""


@dataclass(frozen=True)
class Sender:
    """Sends to public addresses, and to those of the `allowed` networks; plain http to the latter only."""

    allowed: Sequence[Network] = ()
    whole_s: float = WHOLE_S
    tls: ssl.SSLContext | None = None

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Never raises for what the other side does."""
        began, status, error = time.monotonic(), None, None
        try:
            status = self._post(url, headers, body)
        except TimeoutError:
            error = f"it did not answer within {self.whole_s:g} s"
        except (OSError, http.client.HTTPException, ValueError) as what:
            error = (
                _words(what) if time.monotonic() - began < self.whole_s else f"not within {self.whole_s:g} s"
            )
        if status is not None and 300 <= status < 400:
            error = "it sent elsewhere; that is not followed"
        return Answer(status, error, round((time.monotonic() - began) * 1000))

    def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        parts = urlsplit(url)
        secure, host = parts.scheme == "https", parts.hostname or ""
        port = parts.port or (443 if secure else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with self._connected(host, port, secure=secure) as sock:
            connection = http.client.HTTPConnection(host, port)
            connection.default_port = 443 if secure else 80  # what the Host header leaves out
            connection.sock = sock
            connection.request("POST", target, body, dict(headers) | {"Connection": "close"})
            return connection.getresponse().status

    @contextmanager
    def _connected(self, host: str, port: int, *, secure: bool) -> Iterator[socket.socket]:
        """A connection that is cut when the time is over, however slowly the other side dribbles."""
        sock = self._connect(self._addresses(host, port, secure=secure), port)
        open_: list[socket.socket] = [sock]
        cut = threading.Timer(self.whole_s, _cut, (open_,))
        cut.start()
        try:
            if secure:
                tls = self.tls or _default_tls()
                open_[0] = sock = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
                sock.do_handshake()
            yield sock
        finally:
            cut.cancel()
            sock.close()

    def _addresses(self, host: str, port: int, *, secure: bool) -> list[str]:
        found = list(
            dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        )
        if why := why_not(found, self.allowed, secure=secure):
            raise AddressRefused(f"{host} {why}")
        return [one for one in found if why_not([one], self.allowed, secure=secure) is None]

    def _connect(self, addresses: Sequence[str], port: int) -> socket.socket:
        """To the first that answers; all of them together have the time of one try."""
        until = time.monotonic() + self.whole_s
        for address in addresses[:-1]:
            with suppress(OSError):
                return self._to(address, port, until)
        return self._to(addresses[-1], port, until)

    def _to(self, address: str, port: int, until: float) -> socket.socket:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock = socket.create_connection((address, port), timeout=min(CONNECT_S, left))
        sock.settimeout(self.whole_s)
        return sock


def _cut(open_: Sequence[socket.socket]) -> None:
    with suppress(OSError):
        socket.socket.shutdown(open_[0], socket.SHUT_RDWR)


@cache
def _default_tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _words(error: Exception) -> str:
    if isinstance(error, AddressRefused):
        return f"address refused: {error}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', None) or error.reason or error}"
    return (str(error) or type(error).__name__)[:200]
