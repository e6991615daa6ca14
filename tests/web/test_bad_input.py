"""Requests that cannot be granted: through HTTP and the command line the same code, sentence and remedy, and no row."""

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from models.events.tables import Comment, Event
from models.jobs.tables import Job
from models.snapshots.tables import Snapshot, VolumeSnapshot
from stillframe.states import SnapshotState, SnapshotType, VmState
from tests.web.conftest import Cli
from tests.world import World

pytestmark = pytest.mark.postgres

TABLES = (Job, Snapshot, VolumeSnapshot, Event, Comment)


@dataclass(frozen=True)
class Case:
    """A request that is refused. `{vm}` and `{snapshot}` stand for what the test has made."""

    code: str
    sentence: str
    remedy: str
    body: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] | None = None
    path: str = "/v1/vms/{vm}/snapshots"
    vm: VmState = VmState.RUNNING
    snapshot: SnapshotState = SnapshotState.READY
    type: SnapshotType = SnapshotType.HOT
    exit: int = 2


def named(name: str, why: str) -> Case:
    """A snapshot that cannot be called so."""
    words = ("snapshot", "create", "{vm}", f"--name={name}") if "\0" not in name else None
    return Case("name.invalid", why, "A name has 1 to 64 of the characters", {"name": name}, words)


CASES = {
    "name with a slash": named("a/b", "it has the character '/'"),
    "name with two dots": named("..", "two dots in a row"),
    "name out of the folder": named("../../etc/passwd", "two dots in a row"),
    "name with quotes": named('it\'s "x"', 'it has the character "\'"'),
    "name of 300 characters": named("n" * 300, "it has 300 characters, and 64 are allowed"),
    "name in Hangul": named("스냅샷", "it has the character '스'"),
    "name with a NUL": named("a\0b", "it has the character '\\x00'"),
    "name that is an option": named("-rf", "it begins with '-'"),
    "empty name": named("", "it is empty"),
    "display name with an escape": Case(
        "display_name.invalid",
        "it has a control character",
        "without control characters",
        {"display_name": "a\x1b[2J"},
        ("snapshot", "create", "{vm}", "--display-name", "a\x1b[2J"),
    ),
    "unknown VM": Case(
        "vm.not_found",
        'There is no VM "nobody"',
        "`stillframe vm list`",
        {},
        ("snapshot", "create", "nobody"),
        path="/v1/vms/nobody/snapshots",
        exit=5,
    ),
    "unknown volume": Case(
        "volume.not_found",
        'has no volume "vdz"; it has: vda',
        "Name one of the volumes that exist",
        {"target": "vdz"},
        ("snapshot", "extract", "{snapshot}", "vdz"),
        path="/v1/snapshots/{snapshot}/volumes",
        exit=5,
    ),
    "volume out of the folder": Case(
        "volume.not_found",
        'has no volume "../vda"',
        "Name one of the volumes that exist",
        {"target": "../vda"},
        ("snapshot", "extract", "{snapshot}", "../vda"),
        path="/v1/snapshots/{snapshot}/volumes",
        exit=5,
    ),
    "taken name": Case(
        "snapshot.name_taken",
        'already has a snapshot named "s1"',
        "Choose another name",
        {"name": "s1"},
        ("snapshot", "create", "{vm}", "--name", "s1"),
        exit=5,
    ),
    "memory of a stopped VM": Case(
        "snapshot.memory_needs_running",
        "A memory snapshot needs a running VM",
        "Start the VM first",
        {"type": "memory"},
        ("snapshot", "create", "{vm}", "--type", "memory"),
        vm=VmState.OFF,
        exit=5,
    ),
    "hot of a stopped VM": Case(
        "snapshot.hot_needs_running",
        "A hot snapshot needs a running VM",
        "Take a cold snapshot",
        {"type": "hot"},
        ("snapshot", "create", "{vm}", "--type", "hot"),
        vm=VmState.OFF,
        exit=5,
    ),
    "cold of a running VM": Case(
        "snapshot.cold_needs_stopped",
        "A cold snapshot needs a stopped VM",
        "Shut the VM down first",
        {"type": "cold"},
        ("snapshot", "create", "{vm}", "--type", "cold"),
        exit=5,
    ),
    "revert to one that failed": Case(
        "snapshot.not_ready",
        'Snapshot "s1" is error, not ready',
        "Wait until it is ready",
        {},
        ("snapshot", "revert", "{snapshot}", "--yes"),
        path="/v1/snapshots/{snapshot}/revert",
        snapshot=SnapshotState.ERROR,
        exit=5,
    ),
    "after for memory": Case(
        "revert.after_not_for_memory",
        "brings the VM back running",
        "Leave `after` out",
        {"after": "stop"},
        ("snapshot", "revert", "{snapshot}", "--after", "stop", "--yes"),
        path="/v1/snapshots/{snapshot}/revert",
        type=SnapshotType.MEMORY,
        exit=5,
    ),
    "empty comment": Case(
        "request.invalid",
        "body.text",
        "The evidence names each wrong field",
        {"text": ""},
        ("comment", "add", "{snapshot}", ""),
        path="/v1/snapshots/{snapshot}/comments",
    ),
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def there(case: Case, world: World, name: str) -> dict[str, str]:
    """The VM and the snapshot that the case is about."""
    vm = world.vm(name, state=case.vm)
    snapshot = world.snapshot(vm, "s1", state=case.snapshot, type_=case.type)
    return {"vm": name, "snapshot": str(snapshot)}


def test_refused_over_http(case: Case, there: dict[str, str], http: httpx.Client, world: World) -> None:
    """The problem has the code, the sentence and the remedy, its status is below 500, and no table has grown."""
    before = [world.count(table) for table in TABLES]
    answer = http.post(case.path.format(**there), json=case.body)
    problem = answer.json()

    assert problem["code"] == case.code
    assert case.sentence in problem["detail"]
    assert case.remedy in problem["remedy"]
    assert 400 <= answer.status_code < 500
    assert [world.count(table) for table in TABLES] == before


def test_refused_on_the_command_line(case: Case, there: dict[str, str], cli: Cli, world: World) -> None:
    """The same sentence and remedy on stderr, nothing on stdout, and an exit code that tells usage from refusal."""
    if case.words is None:
        pytest.skip("no command line can hold a NUL")
    before = [world.count(table) for table in TABLES]
    said = cli(*(word.format(**there) for word in case.words))

    assert (said.code, said.out) == (case.exit, "")
    assert case.sentence in said.err
    assert case.remedy in said.err
    assert len(said.err.splitlines()) == (3 if "evidence" in case.remedy else 2)
    assert [world.count(table) for table in TABLES] == before
