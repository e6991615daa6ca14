"""The `type` of every problem leads to what it means."""

import httpx
import pytest

from stillframe.catalogue import CATALOGUE
from tests.web.conftest import Api
from tests.web.test_problems import problem

pytestmark = pytest.mark.postgres


def test_a_type_can_be_looked_up(http: httpx.Client, api: Api) -> None:
    """The URI reference of a problem is a page of the API, also for who has no key."""
    shown = problem(http.get("/v1/vms/nobody"))
    page = httpx.get(f"{api.url}{shown['type']}").json()

    assert (page["code"], page["title"], page["status"]) == (shown["code"], shown["title"], shown["status"])
    assert page["meaning"] == 'There is no VM "{vm}".'
    assert page["remedy"] == shown["remedy"]


def test_every_code_has_its_page(http: httpx.Client) -> None:
    """The list has all, each as its page has it; another code is none."""
    found = http.get("/problems").json()["items"]

    assert [one["code"] for one in found] == sorted(CATALOGUE)
    assert http.get("/problems/refused").json() in found
    assert problem(http.get("/problems/no.such_code"))["status"] == 404


def test_a_wrong_method_is_told_all_that_are_right(http: httpx.Client) -> None:
    """Also where several routes share one path."""
    answer = http.request("OPTIONS", "/v1/policies/nightly")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, PUT"
    answer = http.request("OPTIONS", "/v1/vms/web1:assign")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
