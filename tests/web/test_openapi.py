"""The OpenAPI document: whoever reads it, or generates a client from it, finds everything that can come back."""

from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from stillframe import errors
from tests.web.conftest import Api
from web import examples, found, inspected, planned, shapes, snapshot_shapes, wishes
from web.problems import STATUS
from web.submitting import accepted

pytestmark = pytest.mark.postgres

Json = dict[str, Any]
#: Whatever is asked there is of an account or a domain.
OF_TENANTS = (["accounts"], ["users"])
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document(api: Api) -> Json:
    found: Json = httpx.get(f"{api.url}/openapi.json", timeout=60).json()
    return found


def operations(document: Json) -> list[tuple[str, str, Json]]:
    """Method, path and operation, of all."""
    return [(method, path, one) for path, of in document["paths"].items() for method, one in of.items()]


def test_every_operation_is_named_and_told(document: Json) -> None:
    """A short name that no other has, a summary that is not the name, a description, a tag that is described."""
    tags = {tag["name"] for tag in document["tags"]}
    names = [one["operationId"] for _, _, one in operations(document)]

    assert len(names) == len(set(names))
    assert all(name.isidentifier() and len(name) <= 25 for name in names)
    for _, path, one in operations(document):
        assert one["summary"], path
        assert one["description"], path
        assert set(one["tags"]) <= tags, path


def test_every_operation_lists_its_problems(document: Json) -> None:
    """Each status with examples whose code belongs to it; without a key, read-only, and the body's where they apply."""
    for method, path, one in operations(document):
        found = {status: answer for status, answer in one["responses"].items() if status >= "4"}
        codes = set()
        for status, answer in found.items():
            content = answer["content"]
            assert set(content) == {PROBLEM}, path
            assert content[PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}
            for code, example in content[PROBLEM].get("examples", {}).items():
                assert (str(example["value"]["status"]), example["value"]["code"]) == (status, code)
                assert "{" not in example["value"]["detail"] + example["value"]["remedy"], code
                codes.add(code)
        if path.startswith("/v1") and path != "/v1/login":
            assert {"key.missing", "key.refused", "database.unavailable", "request.invalid"} <= codes, path
            needs = method != "get" and not path.endswith(":plan") and one["tags"] != ["login"]
            assert ("right.missing" in codes) is needs, path
            assert ("request.cross_site" in codes) is (method != "get"), path
            assert ("request.body_too_large" in codes) is ("requestBody" in one), path
            filters = {each["name"] for each in one.get("parameters", ())}
            names = "{" in path or "vm" in str(one) or "account" in filters or one["tags"] in OF_TENANTS
            assert any(code.endswith("not_found") for code in codes) is names, path


def test_every_operation_says_what_lets_in(document: Json) -> None:
    """A key or a login, either by itself; neither to log in, and for what is open to everybody."""
    schemes = document["components"]["securitySchemes"]
    assert (schemes["key"]["scheme"], schemes["login"]["in"]) == ("bearer", "cookie")
    for _, path, one in operations(document):
        asks = path.startswith("/v1") and path != "/v1/login"
        assert one.get("security") == ([{"key": []}, {"login": []}] if asks else None), path


def test_bodies_have_examples(document: Json) -> None:
    """All that are sent, and all that come back but pages, whose items have them."""
    schemas = document["components"]["schemas"]
    for name in (
        *(one for one in schemas if one.startswith("Wish")),
        "Snapshot",
        "Job",
        "Vm",
        "Host",
        "Event",
        "Forecast",
    ):
        assert schemas[name]["examples"], name


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (shapes.Host, examples.HOST),
        (shapes.Vm, examples.VM),
        (snapshot_shapes.Snapshot, examples.SNAPSHOT),
        (snapshot_shapes.VolumeSnapshot, examples.VOLUME_SNAPSHOT),
        (shapes.Job, examples.JOB),
        (planned.Forecast, examples.FORECAST),
        (shapes.Event, examples.EVENT),
        (shapes.Comment, examples.COMMENT),
        (inspected.Inspection, examples.INSPECTION),
        (found.Rescan, examples.RESCAN),
        (wishes.WishRescan, examples.WISH_RESCAN),
        (wishes.WishSnapshot, examples.WISH_SNAPSHOT),
        (wishes.WishJob, examples.WISH_JOB),
        (wishes.WishRevert, examples.WISH_REVERT),
        (wishes.WishRecovery, examples.WISH_RECOVERY),
        (wishes.WishVolume, examples.WISH_VOLUME),
        (wishes.WishWords, examples.WISH_WORDS),
        (wishes.WishComment, examples.WISH_COMMENT),
        (wishes.WishHold, examples.WISH_HOLD),
        (wishes.WishTags, examples.WISH_TAGS),
    ],
)
def test_an_example_is_what_it_is_an_example_of(shape: Any, example: Json) -> None:
    """With every field that an answer has, and no other."""
    TypeAdapter(shape).validate_python(example)
    fields = set(shape.model_fields)

    assert set(example) <= fields
    if issubclass(shape, shapes.Shape):
        assert set(example) == fields


def test_a_refusal_that_is_declared_has_a_status() -> None:
    """Each family has its place in the table, the new ones too."""
    assert STATUS[errors.Forbidden] == 403
    assert set(accepted()["responses"]) == {202, 401, 403, 409, 422, 503}
