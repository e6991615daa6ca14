"""Whatever goes wrong is a problem of RFC 9457, and never a 5xx for what a caller has sent."""

import json
from typing import Any

import httpx
import pytest

from stillframe import errors
from tests.web.conftest import Api
from tests.world import World
from web.problems import status_of

pytestmark = pytest.mark.postgres

FIELDS = {"type", "title", "status", "code", "detail", "remedy", "evidence"}


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The problem of an answer that is one."""
    body: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(body) >= FIELDS
    assert body["status"] == answer.status_code
    assert body["detail"]
    assert body["remedy"]
    return body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "request.route_not_found"),
        ("GET", "/v1/hosts/", 404, "request.route_not_found"),
        ("PUT", "/v1/hosts", 405, "request.method_not_allowed"),
        ("GET", "/v1/hosts/nobody", 404, "host.not_found"),
        ("GET", "/v1/hosts/a%00b", 404, "host.not_found"),
        ("GET", "/v1/vms/nobody", 404, "vm.not_found"),
        ("GET", "/v1/vms/a%00b", 404, "vm.not_found"),
        ("GET", "/v1/vms/%FF%FE", 404, "vm.not_found"),
        ("GET", "/v1/vms/nobody/snapshots", 404, "vm.not_found"),
        ("GET", "/v1/vms?host=nobody", 404, "host.not_found"),
        ("GET", "/v1/snapshots/not-an-id", 404, "snapshot.not_found"),
        ("GET", f"/v1/snapshots/{'0' * 32}", 404, "snapshot.not_found"),
        ("GET", f"/v1/snapshots/{'0' * 32}/events", 404, "snapshot.not_found"),
        ("GET", f"/v1/snapshots/{'0' * 32}/comments", 404, "snapshot.not_found"),
        ("DELETE", f"/v1/snapshots/{'0' * 32}", 404, "snapshot.not_found"),
        ("POST", f"/v1/snapshots/{'0' * 32}/revert", 404, "snapshot.not_found"),
        ("GET", "/v1/snapshots?vm=nobody", 404, "vm.not_found"),
        ("GET", "/v1/snapshots?vm=%00", 422, "request.invalid"),
        ("GET", "/v1/snapshots?q=%00", 422, "request.invalid"),
        ("GET", "/v1/snapshots?limit=0", 422, "request.invalid"),
        ("GET", "/v1/snapshots?limit=99999999999999999999999", 422, "request.invalid"),
        ("GET", "/v1/snapshots?state=nice", 422, "request.invalid"),
        ("GET", "/v1/snapshots?sort=size", 422, "request.invalid"),
        ("GET", "/v1/snapshots?created_after=yesterday", 422, "request.invalid"),
        ("GET", "/v1/snapshots?created_after=0001-01-01T00:00:00%2B14:00", 422, "request.invalid"),
        ("GET", "/v1/snapshots?created_before=9999-12-31T23:59:59-14:00", 422, "request.invalid"),
        ("GET", "/v1/snapshots?cursor=%00", 422, "request.cursor_invalid"),
        ("GET", "/v1/events?cursor=WyItaWQiLCBJbmZpbml0eSwgIjUiXQ", 422, "request.cursor_invalid"),
        (
            "GET",
            "/v1/snapshots?sort=name&cursor=WyJuYW1lIiwgIlx1ZDgwMCIsICIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDUiXQ",
            422,
            "request.cursor_invalid",
        ),
        ("GET", "/v1/snapshots?cursor=WzFd", 422, "request.cursor_invalid"),
        ("GET", "/v1/snapshots?cursor=" + "W1tb" * 200, 422, "request.cursor_invalid"),
        ("GET", "/v1/jobs/not-an-id", 404, "job.not_found"),
        ("GET", f"/v1/jobs/{'0' * 32}?wait=1s", 404, "job.not_found"),
        ("GET", f"/v1/jobs/{'0' * 32}?wait=forever", 422, "request.invalid"),
        ("POST", f"/v1/jobs/{'0' * 32}/cancel", 404, "job.not_found"),
        ("GET", "/v1/events?after=-1", 422, "request.invalid"),
        ("GET", "/v1/events?after=99999999999999999999", 422, "request.invalid"),
        ("GET", "/v1/volumes/x", 404, "volume_snapshot.not_found"),
    ],
)
def test_a_wrong_request_is_a_problem(
    http: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    """Routes, methods, names, ids, numbers, times and cursors that cannot be have a stable code each."""
    shown = problem(http.request(method, path))

    assert (shown["status"], shown["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request.body_not_json"),
        (b"\xff\xfe{}", 400, "request.body_not_json"),
        (b"[" * 100_000, 400, "request.body_not_json"),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "request.body_not_json"),
        (b" " * 1_048_577, 413, "request.body_too_large"),
        (b"[]", 422, "request.invalid"),
        (b"null", 422, "request.invalid"),
        (b'"x"', 422, "request.invalid"),
        (b'{"surprise": 1}', 422, "request.invalid"),
        (b'{"type": "warm"}', 422, "request.invalid"),
        (b'{"tags": "x"}', 422, "request.invalid"),
        (b'{"tags": ["\\u0000"]}', 422, "request.invalid"),
        (b'{"tags": ["\\ud800"]}', 422, "request.invalid"),
        (b'{"description": "a\\u0000b"}', 422, "request.invalid"),
        (b'{"expires_at": 1e400}', 422, "request.invalid"),
        (b'{"expires_at": NaN}', 422, "request.invalid"),
        (b'{"name": "\\ud800"}', 422, "name.invalid"),
        (b'{"name": "a\\u0000b"}', 422, "name.invalid"),
        (b'{"display_name": "a\\u0000b"}', 422, "display_name.invalid"),
        (b'{"display_name": "\\udfff"}', 422, "display_name.invalid"),
    ],
    ids=lambda value: None if isinstance(value, int) else str(value[:24]),
)
def test_a_wrong_body_is_a_problem(
    http: httpx.Client, world: World, name: str, body: bytes, status: int, code: str
) -> None:
    """Broken JSON, broken UTF-8, too deep, too long, too large and too strange: all are the caller's."""
    world.vm(name)
    answer = http.post(
        f"/v1/vms/{name}/snapshots", content=body, headers={"Content-Type": "application/json"}
    )
    shown = problem(answer)

    assert (shown["status"], shown["code"]) == (status, code)


def test_a_body_that_does_not_say_its_length_is_cut_off(http: httpx.Client, world: World, name: str) -> None:
    """A stream that grows beyond the limit ends in 413 as well."""
    world.vm(name)
    stream = (b" " * 65536 for _ in range(40))
    answer = http.post(
        f"/v1/vms/{name}/snapshots", content=stream, headers={"Content-Type": "application/json"}
    )

    assert problem(answer)["code"] == "request.body_too_large"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key.missing"),
        ("Basic eDp5", "key.missing"),
        ("Bearer wrong", "key.refused"),
        ("Bearer", "key.missing"),
    ],
)
def test_without_a_good_key_nothing_opens(api: Api, header: str | None, code: str) -> None:
    """All of /v1 answers 401 and says which header it wants."""
    answer = httpx.get(f"{api.url}/v1/vms", headers={"Authorization": header} if header else {})

    assert problem(answer)["code"] == code
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_405_says_what_would_do(http: httpx.Client) -> None:
    """The headers that HTTP asks for come with the problem."""
    assert "GET" in http.put("/v1/hosts").headers["allow"]


def test_the_families_have_their_statuses() -> None:
    """What must be asked again differently, what is not there and what is in the way are told apart."""
    raised = {
        404: errors.SnapshotNotFound(snapshot="x"),
        409: errors.NameTaken(vm="v", name="n"),
        422: errors.NameInvalid(name="n", what="snapshot", why="w"),
        401: errors.KeyMissing(),
        500: errors.HypervisorFailed(detail="x"),
    }

    assert {status: status_of(error) for status, error in raised.items()} == {
        status: status for status in raised
    }


def test_docs_and_health_need_no_key(api: Api) -> None:
    """The documentation can be read, and watchers can look, without a key."""
    assert httpx.get(f"{api.url}/docs").status_code == 200
    assert httpx.get(f"{api.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{api.url}/readyz").json() == {"status": "ready"}


def test_the_documentation_names_every_route(api: Api) -> None:
    """The OpenAPI document has the contract's routes, and problems as the answer to what goes wrong."""
    document = httpx.get(f"{api.url}/openapi.json", timeout=60).json()
    submits = document["paths"]["/v1/vms/{vm}/snapshots"]["post"]["responses"]

    assert {"/v1/hosts", "/v1/jobs/{job}", "/v1/snapshots/{snapshot}/revert"} <= set(document["paths"])
    assert "Location" in submits["202"]["headers"]
    assert "HTTPValidationError" not in json.dumps(document)
