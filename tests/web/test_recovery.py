"""A stuck job, looked at and decided about over HTTP and by the command line; and a job asked for again."""

import json
from uuid import UUID

import httpx
import pytest

from models.jobs.journal import Journal
from models.jobs.tables import Job
from models.session import transaction
from models.tenants.actor import ADMIN
from models.tenants.giving import assign_vm as give
from models.tenants.keys import make_key
from stillframe.client import Producer
from stillframe.errors import StillframeError
from stillframe.rights import Role
from stillframe.states import JobState
from tests.given import given
from tests.web.conftest import Api, Cli
from tests.world import World

pytestmark = pytest.mark.postgres

ERROR = {"code": "image.failed", "detail": "qemu-img said no", "remedy": "", "evidence": {"rc": 1}}


@pytest.fixture
def stuck(world: World, journal: Journal, name: str) -> str:
    """The id of a deletion that is stuck past its point of no return."""
    attempt = journal.claim(world.job(world.vm(name), "delete_snapshot"), worker="h1/1", lease_s=30)
    assert attempt is not None
    attempt.start("check_snapshot")
    attempt.finish("check_snapshot", {"gone": []}, "drop_reference", no_return=True)
    attempt.stuck(ERROR, None, {"vm": {"state": "off", "reason": "shutdown"}})
    return str(attempt.job_id)


def test_all_there_is_to_know(client: Producer, stuck: str, name: str) -> None:
    """Steps with outputs, evidence, direction, the VM as last seen, the last events, and the ways out."""
    found = client.inspect_job(stuck)
    assert [step["name"] for step in given(found["job"]["steps"])] == ["check_snapshot", "drop_reference"]
    assert given(found["job"]["error"])["evidence"]["found"]["vm"]["state"] == "off"
    assert (found["direction"], found["past_no_return"], given(found["vm"])["name"]) == (
        "forward",
        True,
        name,
    )
    assert found["events"][-1]["type"] == "job.stuck"
    assert {way: may["allowed"] for way, may in found["ways"].items()} == {
        "resume": True,
        "rollback": False,
        "mark_done": True,
    }


def test_who_had_the_vm_still_inspects_its_job(
    api: Api, cli: Cli, world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job stays with whoever had its VM then; of the VM nothing is told to them any more."""
    owner = world.account(f"{name}-before", "/")
    heir = world.account(f"{name}-heir", "/")
    vm = world.vm(name, account=owner)
    job = world.job(vm, "delete_snapshot")
    with transaction(api.engine) as session:
        session.get_one(Job, job).state = JobState.FAILED
        give(session, ADMIN, str(vm), str(heir))
        key, _ = make_key(session, owner, Role.USER, "k")
    monkeypatch.setenv("STILLFRAME_KEY", key)
    with Producer(api.url, key) as theirs:
        found = theirs.inspect_job(str(job))
        assert (found["job"]["id"], found["vm"]) == (str(job), None)
    said = cli("job", "recover", str(job))
    assert said.code == 0
    assert "given to another account since" in said.out


def test_a_decision_is_accepted_or_refused_as_was_shown(client: Producer, stuck: str) -> None:
    """A rollback past the point of no return is a 409 in the words of the inspection; a resume is a 202."""
    shown = client.inspect_job(stuck)["ways"]["rollback"]["reason"]
    with pytest.raises(StillframeError) as refused:
        client.recover_job(stuck, "rollback")
    assert (refused.value.status, refused.value.code) == (409, "job.rollback_too_late")
    assert given(shown).startswith(str(refused.value))
    job = client.recover_job(stuck, "resume", "moved the file back")
    assert (job["state"], given(job["recovery"])["note"]) == ("running", "moved the file back")
    (event,) = client.events(job=stuck, type="job.recovered")["items"]
    assert (event["actor"], event["data"]["action"]) == ("admin", "resume")
    with pytest.raises(StillframeError) as twice:
        client.recover_job(stuck, "resume")
    assert twice.value.code == "job.not_stuck"


@pytest.mark.parametrize(
    "body", [{}, {"action": "explode"}, {"action": "resume", "x": 1}, {"action": "resume", "note": "a\0b"}]
)
def test_a_decision_that_is_none(http: httpx.Client, stuck: str, body: dict[str, str]) -> None:
    """What cannot be understood is a 422 that names the field, and nothing is decided."""
    answer = http.post(f"/v1/jobs/{stuck}/recover", json=body)
    assert answer.status_code == 422
    assert answer.json()["evidence"]["fields"]
    assert http.get(f"/v1/jobs/{stuck}").json()["state"] == "stuck"


def test_a_job_that_is_not_stuck_can_be_inspected(client: Producer, world: World, name: str) -> None:
    """Every way is shown as not open, with the reason."""
    found = client.inspect_job(str(world.job(world.vm(name))))
    assert found["direction"] is None
    assert all("is queued, not stuck" in given(way["reason"]) for way in found["ways"].values())


def test_one_reason_is_said_once(cli: Cli, world: World, name: str) -> None:
    """The ways out of a job that is not stuck are listed, and then why none of them is open."""
    said = cli("job", "recover", str(world.job(world.vm(name))), "--inspect").out
    assert "\n--resume: not open\n--rollback: not open\n--mark-done: not open\n  Job " in said
    assert said.count("is queued, not stuck") == 1


def test_the_command_line_inspects_unless_told_otherwise(cli: Cli, client: Producer, stuck: str) -> None:
    """Without a flag it shows all for people, with -o json the API's own answer, and changes nothing."""
    said = cli("job", "recover", stuck[-12:])
    assert said.code == 0
    for words in (
        "Point of no return  passed",
        "qemu-img said no",
        '"state": "off"',
        "drop_reference",
        "--resume: open",
        "--rollback: not open",
        "job.stuck",
    ):
        assert words in said.out, words
    assert json.loads(cli("job", "recover", stuck, "--inspect", "-o", "json").out) == client.inspect_job(
        stuck
    )
    assert client.job(stuck)["state"] == "stuck"


def test_the_command_line_asks_before_it_decides(cli: Cli, client: Producer, stuck: str) -> None:
    """With nobody to ask it needs --yes; a way that is not open is refused with exit code 5; two at once are none."""
    assert cli("job", "recover", stuck, "--resume").code == 2
    assert client.job(stuck)["state"] == "stuck"
    refused = cli("job", "recover", stuck, "--rollback")
    assert (refused.code, "cannot be walked back" in refused.err) == (5, True)
    assert cli("job", "recover", stuck, "--resume", "--mark-done").code == 2
    said = cli("job", "recover", stuck, "--resume", "--yes", "--note", "made room")
    assert (said.code, "is running again" in said.err) == (0, True)
    assert "resume by admin" in cli("job", "show", stuck).out


def test_a_stuck_job_names_its_ways_out(cli: Cli, stuck: str) -> None:
    """Whoever looks at it, or has waited for it, is told where to go on."""
    for verb in ("show", "watch"):
        assert f"`stillframe job recover {stuck}`" in cli("job", verb, stuck).err


def test_a_job_is_asked_for_again(
    cli: Cli, client: Producer, world: World, journal: Journal, name: str
) -> None:
    """The same request becomes a new job; one that goes on, or has succeeded, is refused."""
    world.vm(name)
    first = client.create_snapshot(name, type="hot", name="s1", tags=("a",), description="d")
    with pytest.raises(StillframeError) as refused:
        client.retry_job(first["id"])
    assert (refused.value.status, refused.value.code) == (409, "job.not_retryable")
    client.cancel_job(first["id"])
    second = client.retry_job(first["id"], idempotency_key="again")
    assert client.retry_job(first["id"], idempotency_key="again")["id"] == second["id"] != first["id"]
    assert second["request"] == first["request"]
    snapshot = client.snapshot(given(second["snapshot_id"]))
    assert (snapshot["name"], snapshot["tags"], snapshot["state"]) == ("s1", ["a"], "creating")
    attempt = journal.claim(UUID(second["id"]), worker="w", lease_s=30)
    assert attempt is not None
    attempt.succeed({"consistency": "crash"}, None)
    said = cli("job", "retry", second["id"])
    assert (said.code, "there is nothing to ask for again" in said.err) == (5, True)
