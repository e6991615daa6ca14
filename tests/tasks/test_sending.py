"""One POST to somebody else's server: where it may go, how long it may take, what is made of the answer."""

import ipaddress
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NoReturn

import pytest

from stillframe.addresses import networks
from tasks.sending import Sender
from tests.receiver import Receiver, receiver

HERE = networks("127.0.0.0/8")


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Lets every name lead to these addresses, with each question the next; returns what was asked."""
    asked: list[str] = []
    real, turn = socket.getaddrinfo, iter(answers)

    def found(host: str, port: int, *more: Any, **words: Any) -> Any:
        if ipaddress_of(host):
            return real(host, port, *more, **words)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in next(turn)]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return asked


def refusing(reached: list[str]) -> Callable[..., NoReturn]:
    """No connection is made; where it would have gone is noted."""

    def refuse(to: tuple[str, int], **_: Any) -> NoReturn:
        reached.append(to[0])
        raise OSError("no")

    return refuse


def ipaddress_of(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def test_what_is_sent_arrives(other: Receiver) -> None:
    """Path and query, headers and body; the answer's status comes back."""
    answer = Sender(HERE).post(other.url + "?a=1", {"X-Word": "yes"}, b"body")
    assert (answer.good, answer.status, answer.error) == (True, 204, None)
    (got,) = other.got
    assert (got.path, got.headers["x-word"], got.body) == ("/hook?a=1", "yes", b"body")
    assert got.headers["host"] == other.url.split("/")[2]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fec0::1]",
        "[3fff::1]",
        "0",
    ],
)
def test_the_inside_is_not_reached(other: Receiver, host: str) -> None:
    """However it is written, not even a connection is made."""
    port = other.url.split(":")[2]
    for scheme in ("http", "https"):
        answer = Sender().post(f"{scheme}://{host}:{port}", {}, b"x")
        assert answer.status is None
        assert (answer.error or "").startswith("address refused"), answer.error
    assert other.got == []


def test_a_name_that_leads_inside_is_refused(other: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the name says does not count, where it leads does."""
    resolving(monkeypatch, ["127.0.0.1"], ["10.0.0.1", "169.254.169.254"])
    port = other.url.split(":")[2].split("/")[0]
    for _ in range(2):
        assert "is not public" in (Sender().post(f"https://good.example:{port}/", {}, b"").error or "")
    assert other.got == []


def test_a_name_is_asked_once_and_what_was_checked_is_what_is_reached(
    other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers otherwise the second time (rebinding) leads nowhere else: it is asked only once."""
    port = other.url.split(":")[2].split("/")[0]
    asked = resolving(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    reached: list[str] = []
    monkeypatch.setattr(
        socket,
        "create_connection",
        refusing(reached),
    )
    assert Sender(networks("127.0.0.2")).post(f"http://twice.example:{port}/", {}, b"").error == "no"
    assert asked == ["twice.example"]
    assert reached == ["127.0.0.2"]


def test_of_several_addresses_only_those_that_may_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public address beside a private one does not open the private one."""
    resolving(monkeypatch, ["10.0.0.1", "93.184.216.34", "127.0.0.1"])
    reached: list[str] = []
    monkeypatch.setattr(
        socket,
        "create_connection",
        refusing(reached),
    )
    Sender().post("https://mixed.example/", {}, b"")
    assert reached == ["93.184.216.34"]


def test_many_addresses_take_no_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads to hundreds of addresses where nobody answers is given up when the time is over."""
    resolving(monkeypatch, [f"93.184.{high}.{low}" for high in range(4) for low in range(200)])

    def silent(_to: Any, timeout: float) -> None:
        time.sleep(min(timeout, 0.3))
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    began = time.monotonic()
    assert Sender(whole_s=1.0).post("https://many.example/", {}, b"").error == "it did not answer within 1 s"
    assert time.monotonic() - began < 2.0


def test_where_a_name_leads_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may make webhooks learns no addresses of the network that they are sent from."""
    resolving(monkeypatch, ["10.20.30.40"])
    answer = Sender().post("https://payroll.corp.example/", {}, b"")
    assert answer.error == "address refused: payroll.corp.example is not public"


def test_what_is_not_encrypted_stays_in_allowed_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events do not cross the world in clear."""
    resolving(monkeypatch, ["93.184.216.34"])
    answer = Sender().post("http://plain.example/", {}, b"")
    assert "not encrypted" in (answer.error or "")


def test_a_redirect_is_not_followed(other: Receiver) -> None:
    """Nobody is sent elsewhere, such as inside."""
    other.answer = 302
    answer = Sender(HERE).post(other.url, {}, b"x")
    assert (answer.good, answer.status) == (False, 302)
    assert "not followed" in (answer.error or "")
    assert len(other.got) == 1


def _silent(_: BaseHTTPRequestHandler) -> None:
    time.sleep(3)


def _dribbling(handler: BaseHTTPRequestHandler) -> None:
    for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 30:
        handler.wfile.write(bytes([letter]))
        time.sleep(0.1)


def _nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xff" * 100 + b"\r\n\r\n")


def _endless(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000)


def _hangs_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


@pytest.mark.parametrize("manner", [_silent, _dribbling, _nonsense, _endless, _hangs_up])
def test_bad_manners_are_an_error_in_time(other: Receiver, manner: Any) -> None:
    """Silence, dribbling, nonsense, endless headers, hanging up: an error in words, within the time and a little."""
    other.answer = manner
    began = time.monotonic()
    answer = Sender(HERE, whole_s=1.0).post(other.url, {}, b"x")
    assert time.monotonic() - began < 2.5
    assert answer.status is None
    assert answer.error


def test_a_large_answer_is_not_read(other: Receiver) -> None:
    """Its first line says enough."""

    def large(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()

    other.answer = large
    assert Sender(HERE, whole_s=2.0).post(other.url, {}, b"x").good


def test_nobody_there(other: Receiver) -> None:
    """A port where nobody listens and a name that nobody has are errors in words."""
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    assert "refused" in (Sender(HERE).post(f"http://127.0.0.1:{free.getsockname()[1]}/", {}, b"").error or "")
    free.close()
    assert Sender(HERE).post("https://no-such-name.invalid/", {}, b"").error


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of hook.example, its key beside it in the same file."""
    made = tmp_path / "pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=hook.example",
            ),
            *(
                "-addext",
                "subjectAltName=DNS:hook.example",
                "-keyout",
                str(tmp_path / "key"),
                "-out",
                str(made),
            ),
        ],
        check=True,
        capture_output=True,
    )
    made.write_text(made.read_text() + (tmp_path / "key").read_text())
    return made


def test_tls_is_that_of_the_name(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SNI, certificate and Host are the name's; a certificate of another or an unknown one is refused."""
    seen: list[str | None] = []
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    serving.sni_callback = lambda _sock, name, _context: seen.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"])
    with receiver() as other:
        port = _wrap(other, serving)
        good = Sender(HERE, tls=trusting).post(f"https://hook.example:{port}/", {}, b"x")
        assert (good.status, good.error) == (204, None)
        assert seen == ["hook.example"]
        assert other.got[0].headers["host"] == f"hook.example:{port}"
        wrong = Sender(HERE, tls=trusting).post(f"https://other.example:{port}/", {}, b"x")
        assert "TLS" in (wrong.error or "")
        unknown = Sender(HERE).post(f"https://hook.example:{port}/", {}, b"x")
        assert "TLS" in (unknown.error or "")
        assert len(other.got) == 1


def _wrap(other: Receiver, serving: ssl.SSLContext) -> int:
    """Lets the receiver speak TLS from now on; returns its port."""
    server = other.server
    assert server is not None
    server.socket = serving.wrap_socket(server.socket, server_side=True)
    return int(server.server_port)
