"""What no route may choke on, sent to every route of the OpenAPI document: a 4xx problem, never a 5xx.

The routes and fields are read from the document, so one that is new is tried too.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from models.session import transaction
from stillframe.catalogue import CATALOGUE
from tests.web.conftest import Api
from tests.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

Json = dict[str, Any]
JSON = {"Content-Type": "application/json"}

NASTY = {
    "SQL": "'; DROP TABLE job; --",
    "more SQL": "x' OR '1'='1' UNION SELECT sha256 FROM api_key --",
    "XML": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><domain>&a;</domain>]]>',
    "a path": "../../../../etc/passwd",
    "a shell line": "$(touch /tmp/x); `id` | cat & %s {0} {detail}",
    "NUL": "a\0b",
    "half a pair": "\ud800",
    "turned letters": "\u202egnp.exe\u202c\ufeff",
    "escapes": "\x1b[2J\r\nSet-Cookie: a=b",
    "long": "x" * 20_000,
    "nothing": "",
}
#: What can be in no body of ours.
NO_BODIES: dict[str, bytes] = {
    "10 MB": b'{"description": "' + b"x" * 10_000_000 + b'"}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"selector":' * 50_000 + b"1" + b"}" * 50_000,
    "bad UTF-8": b'{"name": "\xff\xfe\xc0\x80"}',
    "no JSON": b"name=a&type=hot",
    "half": b'{"name": "a"',
    "a long number": b'{"name": ' + b"9" * 10_000 + b"}",
    "not a number": b'{"timeout_s": NaN, "start_within_s": Infinity}',
    "a list": b"[1, 2, 3]",
    "words": b'"words"',
    "an unknown field": b'{"nobody_knows_this": 1}',
    "a field of others": b'{"__class__": "Snapshot", "account_id": 1, "id": 2}',
}


@pytest.fixture(scope="module")
def document(api: Api) -> Json:
    found: Json = httpx.get(f"{api.url}/openapi.json", timeout=60).json()
    return found


@pytest.fixture
def fill(world: World, name: str) -> Json:
    """A thing of this test's own for each parameter of a path; what is not known here is nothing that is there."""
    vm = world.vm(name, host=name)
    snapshot = world.snapshot(vm, "s1")
    return {"vm": name, "snapshot": str(snapshot), "job": str(world.job(vm)), "name": name}


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, of in document["paths"].items():
        for method, one in of.items():
            if path.startswith("/v1") and not path.endswith("/stream"):
                yield method.upper(), path, one


def resolved(document: Json, schema: Json) -> Json:
    """The object that a schema means, through references and through `or null`."""
    if "$ref" in schema:
        return resolved(document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    for one in schema.get("anyOf", ()):
        if one.get("type") != "null":
            return resolved(document, one)
    return schema


def body_of(document: Json, one: Json) -> Json | None:
    if "requestBody" not in one:
        return None
    return resolved(document, one["requestBody"]["content"]["application/json"]["schema"])


def filled(path: str, one: Json, fill: Json) -> str:
    names = [each["name"] for each in one.get("parameters", ()) if each["in"] == "path"]
    return path.format(**{each: fill.get(each, str(uuid4())) for each in names})


def checked(answer: httpx.Response, what: str, *, refused: bool) -> None:
    """No failure of the server, and what is refused is a problem of the catalogue, in one line, that quotes no insides."""
    assert answer.status_code < 500, (what, answer.text[:500])
    assert not refused or answer.status_code >= 400, (what, answer.text[:500])
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", what
        problem = answer.json()
        assert problem["code"] in CATALOGUE, what
        assert len(answer.content) < 20_000, what
        assert "Traceback" not in answer.text, what
        assert "psycopg" not in answer.text, what


@pytest.fixture
def whole(api: Api) -> Iterator[None]:
    """After all of it every table is there, and keys still open."""
    yield
    with transaction(api.engine) as session:
        assert session.execute(text("SELECT count(*) FROM job")).scalar_one() > 0
        assert session.execute(text("SELECT count(*) FROM api_key")).scalar_one() > 0


@pytest.mark.parametrize("what", NO_BODIES)
@pytest.mark.usefixtures("whole")
def test_a_body_that_cannot_be(what: str, document: Json, http: httpx.Client, fill: Json) -> None:
    """Whatever the route, it is refused with a problem before anything is done."""
    tried = 0
    for method, path, one in operations(document):
        if body_of(document, one) is not None:
            answer = http.request(method, filled(path, one, fill), content=NO_BODIES[what], headers=JSON)
            checked(answer, f"{method} {path}: {what}", refused=True)
            tried += 1
    assert tried > 10


@pytest.mark.usefixtures("whole")
def test_every_field_of_another_type(document: Json, http: httpx.Client, fill: Json) -> None:
    """An object where none is meant, and a word or a list where an object is."""
    tried = 0
    for method, path, one in operations(document):
        schema = body_of(document, one) or {}
        for field, of in schema.get("properties", {}).items():
            kind = resolved(document, of).get("type")
            wrong: Any = {"object": "words", "array": {"a": 1}}.get(str(kind), {"a": [1]})
            for value in (wrong, [[wrong]]):
                if kind == "array" and isinstance(value, list):
                    continue
                body = {**(schema.get("examples") or [{}])[0], field: value}
                answer = http.request(method, filled(path, one, fill), json=body)
                checked(answer, f"{method} {path}: {field}={value}", refused=not _free(of))
                tried += 1
    assert tried > 60


def _free(schema: Json) -> bool:
    """Any JSON may stand there."""
    return not schema.keys() & {"type", "anyOf", "$ref", "enum", "const", "allOf", "oneOf"}


@pytest.mark.parametrize("what", NASTY)
@pytest.mark.usefixtures("whole")
def test_every_string_of_a_body(what: str, document: Json, http: httpx.Client, fill: Json) -> None:
    """Kept as the words they are, or refused; nothing of it is carried out."""
    tried = 0
    for method, path, one in operations(document):
        schema = body_of(document, one) or {}
        example = (schema.get("examples") or [{}])[0]
        for field, of in schema.get("properties", {}).items():
            kind = resolved(document, of).get("type")
            values: dict[str, Any] = {
                "string": NASTY[what],
                "array": [NASTY[what]],
                "object": {NASTY[what]: NASTY[what]},
            }
            body = json.dumps({**example, field: values.get(str(kind), NASTY[what])})
            answer = http.request(method, filled(path, one, fill), content=body.encode(), headers=JSON)
            checked(answer, f"{method} {path}: {field}", refused=kind not in ("string", "array", "object"))
            tried += 1
    assert tried > 30


@pytest.mark.parametrize("what", [one for one in NASTY if one != "half a pair"])
@pytest.mark.usefixtures("whole")
def test_every_word_of_an_address(what: str, document: Json, http: httpx.Client, fill: Json) -> None:
    """In each part of a path, each parameter and each header of ours."""
    for method, path, one in operations(document):
        example = (body_of(document, one) or {}).get("examples", [{}])[0]
        how: Json = {"json": example} if "requestBody" in one else {}
        for parameter in one.get("parameters", ()):
            place, called = parameter["in"], parameter["name"]
            asked = filled(path, one, fill)
            if place == "path":
                asked = filled(
                    path,
                    one,
                    fill | {called: quote(NASTY[what], safe="")},
                )
                answer = http.request(method, asked, **how)
            elif place == "query":
                answer = http.request(method, asked, params={called: NASTY[what]}, **how)
            else:
                try:
                    answer = http.request(method, asked, headers={called: NASTY[what][:2000].encode()}, **how)
                except httpx.LocalProtocolError:
                    continue  # no header can hold that
            checked(answer, f"{method} {path}: {called}", refused=False)
