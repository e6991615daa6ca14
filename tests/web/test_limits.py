"""How long a job may wait and take, as it is asked for."""

import httpx
import pytest

from models.jobs.tables import Job
from models.session import transaction
from tests.web.conftest import Api, Cli
from tests.web.test_problems import problem
from tests.world import World

pytestmark = pytest.mark.postgres


def limits(api: Api, job: str) -> tuple[float | None, float | None]:
    """As they stand in the job's row."""
    with transaction(api.engine) as session:
        request = session.get_one(Job, job).request
        return request["start_within_s"], request["timeout_s"]


def test_every_operation_takes_its_limits(api: Api, http: httpx.Client, world: World, name: str) -> None:
    """In the body, and of a deletion in the query; without them the row says nothing."""
    vm = world.vm(name)
    one = f"/v1/snapshots/{world.snapshot(vm, 's1')}"
    asked = {"start_within_s": 60, "timeout_s": 2.5}
    for answer in (
        http.post(f"/v1/vms/{name}/snapshots", json={"type": "hot", **asked}),
        http.post(f"{one}/revert", json=asked),
        http.post(f"{one}/volumes", json={"target": "vda", **asked}),
        http.delete(one, params=asked),
    ):
        assert answer.status_code == 202, answer.text
        assert limits(api, answer.json()["id"]) == (60, 2.5)
    assert limits(api, http.post(f"/v1/vms/{name}/snapshots", json={}).json()["id"]) == (None, None)


@pytest.mark.parametrize("value", [0, 0.5, -1, 2_592_001, "soon"])
@pytest.mark.parametrize("field", ["start_within_s", "timeout_s"])
def test_limits_have_bounds(http: httpx.Client, world: World, name: str, field: str, value: object) -> None:
    """A second to thirty days; anything else is the caller's mistake, and names the field."""
    one = f"/v1/snapshots/{world.snapshot(world.vm(name), 's1')}"
    for answer in (
        http.post(f"{one}/revert", json={field: value}),
        http.delete(one, params={field: str(value)}),
    ):
        shown = problem(answer)
        assert (shown["status"], shown["code"]) == (422, "request.invalid")
        assert field in shown["detail"]


def test_the_command_line_takes_units(api: Api, cli: Cli, world: World, name: str) -> None:
    """`15m` and `2d` are what they say; what is no time is a usage error before anything is asked."""
    world.vm(name)
    said = cli("snapshot", "create", name, "--start-within", "15m", "--timeout", "2d")
    assert said.code == 0, said.err
    assert limits(api, said.out.split()[0]) == (900, 172_800)
    for wrong in ("soon", "31d", "0", "nan"):
        said = cli("snapshot", "create", name, "--timeout", wrong)
        assert said.code == 2
        assert wrong in said.err
