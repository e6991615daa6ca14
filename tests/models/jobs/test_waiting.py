"""Why a job does not go on, in words that people can act on."""

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, update

from models.hosts.drain import drain
from models.hosts.tables import Host
from models.jobs.journal import Journal
from models.jobs.tables import Job
from models.jobs.waiting import waiting
from models.session import transaction
from models.vms.tables import Vm
from tests.world import World

pytestmark = pytest.mark.postgres

Change = Callable[[World, Journal, UUID], None]


def why(world: World, job: UUID) -> tuple[str, str] | None:
    with transaction(world.engine) as session:
        found = waiting(session, [job]).get(job)
    return (found["code"], found["detail"]) if found else None


def _gone(world: World, _journal: Journal, _job: UUID) -> None:
    with transaction(world.engine) as session:
        session.execute(update(Vm).values(gone=True))


def _silent(world: World, _journal: Journal, _job: UUID) -> None:
    with transaction(world.engine) as session:
        session.execute(update(Host).values(last_seen_at=func.now() - func.make_interval(0, 0, 0, 0, 1)))


def _drained(world: World, _journal: Journal, _job: UUID) -> None:
    drain(world.engine, "h1", "kim", "new memory")


def _requeued(_world: World, journal: Journal, job: UUID) -> None:
    attempt = journal.claim(job, worker="w", lease_s=30)
    assert attempt is not None
    attempt.requeue({"code": "vm.busy", "detail": "VM web is busy with a backup."})


def _sent(world: World, _journal: Journal, job: UUID) -> None:
    with transaction(world.engine) as session:
        session.execute(update(Job).where(Job.id == job).values(published_at=func.now()))


def _lapsed(world: World, journal: Journal, job: UUID) -> None:
    assert journal.claim(job, worker="h1/w", lease_s=30) is not None
    world.lapse_now(job)


def _stuck(_world: World, journal: Journal, job: UUID) -> None:
    attempt = journal.claim(job, worker="w", lease_s=30)
    assert attempt is not None
    attempt.stuck({"code": "x", "detail": "why"}, None)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ([], "not_sent", "its message is not sent yet"),
        ([_sent], "no_free_worker", "its message was sent to host h1 at 20"),
        ([_requeued], "tried_later", "UTC: VM web is busy with a backup."),
        ([_sent, _drained], "host_drained", "host h1 was drained by kim at 20"),
        ([_requeued, _drained, _silent], "host_silent", "host h1 was last heard of at 20"),
        ([_drained, _silent, _gone], "vm_gone", "VM web is on no host: it was last seen on host h1 at 20"),
        ([_lapsed], "lease_lapsed", "worker h1/w fell silent; since 20"),
        ([_lapsed, _drained], "lease_lapsed", "it waits to be taken over on host h1"),
        ([_lapsed, _silent], "host_silent", "host h1 was last heard of at 20"),
        ([_lapsed, _gone], "vm_gone", "VM web is on no host"),
        ([_stuck, _silent], "person", "`stillframe job recover "),
    ],
)
def test_the_first_thing_that_would_have_to_change_is_said(
    world: World, journal: Journal, changes: list[Change], code: str, words: str
) -> None:
    """Of several reasons the one that holds up whatever comes after it."""
    job = world.job(world.vm())
    for change in changes:
        change(world, journal, job)
    found = why(world, job)
    assert found is not None
    assert found[0] == code
    assert words in found[1]


def test_a_job_that_is_held_goes_on(world: World, journal: Journal) -> None:
    """While its worker renews its lease it waits for nothing, whatever is said of its host."""
    job = world.job(world.vm())
    assert journal.claim(job, worker="w", lease_s=30) is not None
    _drained(world, journal, job)
    _silent(world, journal, job)
    assert why(world, job) is None


def test_who_goes_first_is_named(world: World, journal: Journal) -> None:
    """The one that is held or stuck, else the first of the line, by id, kind and state."""
    vm = world.vm()
    first, second, third = world.job(vm), world.job(vm, "revert_snapshot"), world.job(vm)
    found = why(world, third)
    assert found == ("behind_job", f"job {first} of the same VM goes first: create_snapshot, queued")
    assert why(world, first) != why(world, second) == found
    _stuck(world, journal, first)
    assert why(world, second) == (
        "behind_job",
        f"job {first} of the same VM goes first: create_snapshot, stuck",
    )


def test_many_are_answered_at_once(world: World, engine: Engine, journal: Journal) -> None:
    """Each with its own reason; none for the one that runs."""
    jobs = [world.job(world.vm(name)) for name in "abc"]
    _lapsed(world, journal, jobs[0])
    assert journal.claim(jobs[1], worker="w", lease_s=30) is not None
    with transaction(engine) as session:
        found = waiting(session, jobs)
        assert waiting(session, []) == {}
    assert {job: one["code"] for job, one in found.items()} == {
        jobs[0]: "lease_lapsed",
        jobs[2]: "not_sent",
    }
