"""Asking: one transaction of checks and rows, then the message."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import Engine

from models.events.tables import Event
from models.jobs.journal import Journal
from models.jobs.tables import SCHEDULED, Job
from models.session import transaction
from models.snapshots.tables import Snapshot, VolumeSnapshot
from models.tenants.actor import ADMIN
from stillframe.errors import (
    ColdNeedsStopped,
    DeletionAsked,
    DisplayNameInvalid,
    HotNeedsRunning,
    IdempotencyMismatch,
    Invalid,
    MemoryNeedsRunning,
    NameInvalid,
    NameTaken,
    StillframeError,
    VmGone,
    VmNameAmbiguous,
    VmNotFound,
)
from stillframe.operations import CreateSnapshot
from stillframe.states import JobState, SnapshotState, SnapshotType, VmState
from tasks import ticks
from tasks.producer import Producer
from tests.tasks.conftest import Queues
from tests.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.broker]


def create(vm: str = "web", **words: Any) -> CreateSnapshot:
    return CreateSnapshot(vm=vm, **words)


def nothing_is_left(world: World) -> bool:
    return [world.count(table) for table in (Job, Snapshot, VolumeSnapshot, Event)] == [0, 0, 0, 0]


def test_a_request_becomes_rows_an_event_and_a_message(
    world: World, producer: Producer, queues: Queues
) -> None:
    """After submit the job is queued, its snapshot is being made, and the host has a message that people can read."""
    vm = world.vm("web", host="h7")
    submitted = producer.submit(
        create(name="nightly", display_name=" 밤 ", description="d", tags=("a", "b", "a")), ADMIN
    )
    assert submitted.snapshot_id is not None
    snapshot = world.snapshot_row(submitted.snapshot_id)
    assert (snapshot.vm_id, snapshot.state, snapshot.type) == (vm, SnapshotState.CREATING, SnapshotType.HOT)
    assert (snapshot.name, snapshot.display_name, snapshot.tags) == ("nightly", "밤", ["a", "b"])
    job = world.row(submitted.job_id)
    assert (job.state, job.kind, job.vm_name, job.requested_by) == (
        JobState.QUEUED,
        "create_snapshot",
        "web",
        "admin",
    )
    assert job.request["type"] == "hot"
    assert job.request["vm"] == str(vm)
    assert job.published_at is not None
    assert world.events(submitted.job_id) == ["job.queued"]
    (message,) = queues.messages("host.h7")
    assert message["headers"]["task"] == "stillframe.create_snapshot"
    assert message["headers"]["id"] == str(submitted.job_id)
    assert message["headers"]["argsrepr"] == "vm=web snapshot=nightly"
    assert message["body"][1] == {"job_id": str(submitted.job_id), "vm": "web", "snapshot": "nightly"}


def test_a_vm_is_found_by_its_uuid_or_its_only_name(world: World, producer: Producer) -> None:
    """A name that two VMs have needs the uuid; one that is gone or never was says so."""
    one, _other = world.vm("twin"), world.vm("twin")
    world.vm("left", gone=True, host="h3")
    assert world.row(producer.submit(create(str(one)), ADMIN).job_id).vm_id == one
    with pytest.raises(VmNameAmbiguous, match=str(one)):
        producer.submit(create("twin"), ADMIN)
    with pytest.raises(VmNotFound):
        producer.submit(create("nobody"), ADMIN)
    with pytest.raises(VmGone, match="h3"):
        producer.submit(create("left"), ADMIN)


def test_what_nobody_named_gets_a_name(world: World, producer: Producer) -> None:
    """Two requests without a name never meet."""
    world.vm()
    names = {
        world.snapshot_row(producer.submit(create(), ADMIN).snapshot_id).name,
        world.snapshot_row(producer.submit(create(), ADMIN).snapshot_id).name,
    }
    assert len(names) == 2
    assert all(name.startswith("snap-") for name in names)


@pytest.mark.parametrize(
    ("state", "asked", "found"),
    [
        (VmState.RUNNING, None, "hot"),
        (VmState.PAUSED, None, "hot"),
        (VmState.OFF, None, "cold"),
        (VmState.CRASHED, None, "cold"),
        (VmState.RUNNING, "memory", "memory"),
        (VmState.PAUSED, "memory", "memory"),
        (VmState.OFF, "cold", "cold"),
        (VmState.RUNNING, "cold", ColdNeedsStopped),
        (VmState.PAUSED, "cold", ColdNeedsStopped),
        (VmState.OFF, "hot", HotNeedsRunning),
        (VmState.CRASHED, "memory", MemoryNeedsRunning),
    ],
)
def test_the_type_must_fit_the_vm(
    world: World, producer: Producer, state: VmState, asked: str | None, found: str | type[Exception]
) -> None:
    """Without a type the one that fits is taken; one that does not fit is refused and leaves no row."""
    world.vm(state=state)
    if isinstance(found, str):
        submitted = producer.submit(create(type=asked), ADMIN)
        assert world.snapshot_row(submitted.snapshot_id).type.value == found
    else:
        with pytest.raises(found):
            producer.submit(create(type=asked), ADMIN)
        assert nothing_is_left(world)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"name": ""}, NameInvalid),
        ({"name": "../../etc/passwd"}, NameInvalid),
        ({"name": "a b"}, NameInvalid),
        ({"name": "스냅샷"}, NameInvalid),
        ({"name": "x" * 65}, NameInvalid),
        ({"name": "a\n"}, NameInvalid),
        ({"display_name": "  "}, DisplayNameInvalid),
        ({"display_name": "a\x00b"}, DisplayNameInvalid),
        ({"description": "a\x00b"}, Invalid),
        ({"description": "\ud800"}, Invalid),
        ({"description": "x" * 5000}, Invalid),
        ({"tags": ("",)}, Invalid),
        ({"tags": ("a\x00",)}, Invalid),
        ({"tags": tuple(f"t{n}" for n in range(40))}, Invalid),
        ({"expires_at": "tomorrow"}, Invalid),
        ({"expires_at": "2999-01-01T00:00:00"}, Invalid),
        ({"expires_at": "2001-01-01T00:00:00Z"}, Invalid),
        ({"type": "warm"}, Invalid),
        ({"quiesce": "maybe"}, Invalid),
    ],
)
def test_bad_words_leave_no_row(
    world: World, producer: Producer, words: dict[str, Any], error: type[Exception]
) -> None:
    """A request that cannot be kept or shown as it is is refused before anything is written."""
    world.vm()
    with pytest.raises(error):
        producer.submit(create(**words), ADMIN)
    assert nothing_is_left(world)


def test_an_expiry_is_kept(world: World, producer: Producer) -> None:
    """A time with a zone becomes the snapshot's expiry."""
    world.vm()
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    submitted = producer.submit(create(expires_at=at.isoformat()), ADMIN)
    assert world.snapshot_row(submitted.snapshot_id).expires_at == at


def test_a_taken_name_is_refused_until_it_is_free(world: World, producer: Producer) -> None:
    """A live snapshot of the same VM has its name to itself; a failed one or another VM's does not matter."""
    vm = world.vm("web")
    world.vm("db")
    world.snapshot(vm, name="s1")
    world.snapshot(vm, name="s2", state=SnapshotState.ERROR)
    with pytest.raises(NameTaken, match="s1"):
        producer.submit(create(name="s1"), ADMIN)
    producer.submit(create(name="s2"), ADMIN)
    producer.submit(create("db", name="s1"), ADMIN)


def test_of_many_with_the_same_name_exactly_one_is_made(world: World, producer: Producer) -> None:
    """A race for a name has one winner; the others are refused and leave nothing."""
    world.vm()

    def ask(_: int) -> str:
        try:
            producer.submit(create(name="same"), ADMIN)
        except NameTaken:
            return "taken"
        return "made"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert sorted(answers) == ["made"] + ["taken"] * 7
    assert (world.count(Job), world.count(Snapshot), world.count(Event)) == (1, 1, 1)


def test_the_same_key_twenty_times_at_once_is_one_job(world: World, producer: Producer) -> None:
    """Whoever asks again with the same key gets the first job, even while it is being written."""
    world.vm()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: producer.submit(create(name="n"), ADMIN, "key-1"), range(20)))
    assert len({answer.job_id for answer in answers}) == 1
    assert len({answer.snapshot_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert (world.count(Job), world.count(Snapshot)) == (1, 1)


def test_a_key_belongs_to_one_request_of_one_requester(world: World, producer: Producer) -> None:
    """The same key with another request is refused; without a name in the request it still replays."""
    world.vm()
    first = producer.submit(create(), ADMIN, "k")
    assert producer.submit(create(), ADMIN, "k").job_id == first.job_id
    with pytest.raises(IdempotencyMismatch):
        producer.submit(create(name="other"), ADMIN, "k")
    with pytest.raises(Invalid):
        producer.submit(create(), ADMIN, "")
    other = producer.submit(create(), replace(ADMIN, name="kim", account_id=world.account("kim")), "k")
    assert other.job_id != first.job_id


def test_a_replay_answers_though_the_world_has_moved_on(world: World, producer: Producer) -> None:
    """A key asked again after its snapshot took the name, or the VM stopped, is no new request."""
    world.vm()
    first = producer.submit(create(name="n", type="hot"), ADMIN, "k")
    world.set_vm_state(first.vm_id, VmState.OFF)
    assert producer.submit(create(name="n", type="hot"), ADMIN, "k").replayed


def test_only_the_next_job_of_a_vm_is_sent(world: World, producer: Producer, queues: Queues) -> None:
    """Later ones are sent when it has ended: they never take up a worker's time."""
    vm = world.vm()
    first = producer.submit(create(), ADMIN)
    second = producer.submit(create(), ADMIN)
    assert queues.jobs("host.h1") == [str(first.job_id)]
    attempt = Journal(world.engine).claim(first.job_id, worker="w", lease_s=30)
    assert attempt is not None
    attempt.succeed({}, None)
    assert producer.publisher.next_of_vm(vm) == 1
    assert queues.jobs("host.h1") == [str(first.job_id), str(second.job_id)]
    assert producer.publisher.next_of_vm(vm) == 0


def test_an_interactive_message_is_read_before_scheduled_ones(
    world: World, producer: Producer, queues: Queues
) -> None:
    """On one host what a person waits for comes first, though it was asked for last."""
    for name in ("a", "b"):
        world.vm(name)
    scheduled = producer.submit(create("a"), ADMIN, priority=SCHEDULED)
    urgent = producer.submit(create("b"), ADMIN)
    assert queues.jobs("host.h1") == [str(urgent.job_id), str(scheduled.job_id)]


def test_every_refusal_has_a_code_a_sentence_and_a_remedy() -> None:
    """Also the one that is known only here."""
    error: StillframeError = DeletionAsked(snapshot="s", job="j")
    assert error.to_json()["code"] == "snapshot.deletion_asked"
    assert error.detail == 'Snapshot "s" is already to be deleted, by job j.'


def test_a_job_has_a_time_to_begin_within(world: World, engine: Engine, app: Celery) -> None:
    """That of its request, else that of the service, by the clock of the database."""
    world.vm("a")
    world.vm("b")
    producer = Producer(engine, app, start_within_s=600)
    for vm, wished, within_s in (("a", None, 600), ("b", 30.0, 30)):
        row = world.row(producer.submit(create(vm, start_within_s=wished), ADMIN).job_id)
        assert row.expires_at == row.created_at + timedelta(seconds=within_s)
    producer.publisher.close()


def test_what_expires_lets_the_next_go_on(world: World, producer: Producer, queues: Queues) -> None:
    """The tick ends the first of the line, and the message of the second is sent."""
    world.vm()
    first = producer.submit(create(), ADMIN).job_id
    second = producer.submit(create(), ADMIN).job_id
    assert queues.jobs("host.h1") == [str(first)]
    with transaction(world.engine) as session:
        session.get_one(Job, first).expires_at = datetime.now(UTC) - timedelta(seconds=1)
    assert ticks.expire_jobs(world.engine, producer.publisher, 600) == 1
    assert world.row(first).state is JobState.EXPIRED
    assert queues.jobs("host.h1") == [str(first), str(second)]
    assert ticks.expire_jobs(world.engine, producer.publisher, 600) == 0
