"""A worker that lives and cannot go on: it leaves the job, nothing is lost, and nobody is counted as dead for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from hypervisor.port import Host
from models.jobs import leaving, outcome
from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from models.jobs.recovery import recover
from models.jobs.waiting import waiting
from models.session import transaction
from stillframe.errors import HostLost, LostLease
from stillframe.operations import CreateSnapshot
from stillframe.recovering import Way
from stillframe.states import JobState, SnapshotState
from tests.given import given
from tests.read_only import write_here
from tests.workers.site import Site, away
from tests.world import World
from workers import run_job as body
from workers.hold import hold
from workers.progress import Progress
from workers.run_job import Hands, run_job

pytestmark = pytest.mark.postgres

ERROR = {"code": "hypervisor.failed", "detail": "it broke", "remedy": "", "evidence": {}}


@pytest.fixture
def site(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A host with a VM that runs, on which nobody waits long for another process."""
    monkeypatch.setattr("workers.run_job.HOLD_S", 0.2)
    return Site(engine, tmp_path)


def asked(site: Site) -> UUID:
    """A job for a snapshot."""
    return site.ask(CreateSnapshot(vm=str(site.guest.uuid), name="s", type="hot"))


def why(world: World, job: UUID) -> tuple[str, str]:
    """The reason it waits for."""
    with transaction(world.engine) as session:
        found = waiting(session, [job])[job]
    return found["code"], found["detail"]


def once(real: Callable[..., Any], *, committed: bool) -> tuple[Callable[..., Any], list[bool]]:
    """The call, whose answer is lost the first time; in a session of its caller's it is committed or not."""
    lost = list[bool]()

    def call(*about: Any, **more: Any) -> Any:
        if lost:
            return real(*about, **more)
        lost.append(True)
        if committed:
            real(*about, **more)
            if isinstance(about[0], Session):
                about[0].commit()
        raise away()

    return call, lost


@pytest.mark.parametrize("begun", [False, True])
def test_a_rollback_waits_for_whoever_has_the_vm(site: Site, world: World, *, begun: bool) -> None:
    """It stays what it is and says what it waits for; once the VM is free it is walked back to its end."""
    job = asked(site)
    attempt = given(site.journal.claim(job, worker="h1/dead", lease_s=30))
    if begun:
        attempt.start("check_vm")
    attempt.stuck(ERROR, None)
    recover(world.engine, job, Way.ROLLBACK, "kim")
    with hold(site.settings.lock_folder, site.guest.uuid, "web", 1):
        assert site.run(job) is None
    row = world.row(job)
    assert (row.state, row.worker, row.deaths) == (JobState.UNDOING, None, 0)
    assert world.events(job)[-1] == "job.let_go"
    code, detail = why(world, job)
    assert code == "tried_later"
    assert 'at work on VM "web"' in detail
    world.lapse_now(job)
    assert why(world, job)[0] == "lease_lapsed"
    assert 'at work on VM "web"' in why(world, job)[1]
    site.run(job)
    row = world.row(job)
    assert (row.state, row.deaths) == (JobState.FAILED, 0)
    assert given(row.error)["detail"] == "it broke"
    assert world.snapshot_row(row.snapshot_id).state is SnapshotState.ERROR


def test_what_a_person_closed_waits_for_whoever_has_the_vm(site: Site, world: World) -> None:
    """It does not go back into the line; once the VM is free it ends as the host says."""
    job = asked(site)
    given(site.journal.claim(job, worker="h1/dead", lease_s=30)).stuck(ERROR, None)
    recover(world.engine, job, Way.MARK_DONE, "kim")
    with hold(site.settings.lock_folder, site.guest.uuid, "web", 1):
        assert site.run(job) is None
    assert (world.row(job).state, world.row(job).worker) == (JobState.RUNNING, None)
    world.lapse_now(job)
    site.run(job)
    assert world.row(job).state is JobState.FAILED
    assert given(world.row(job).error)["code"] == "job.closed"


@pytest.mark.parametrize("begun", [False, True])
def test_a_folder_without_room_for_the_lock_is_waited_for(site: Site, world: World, *, begun: bool) -> None:
    """The job says what it waits for; nobody has died of it, and once there is room it is done."""
    job = asked(site)
    if begun:
        given(site.journal.claim(job, worker="h1/dead", lease_s=30)).start("check_vm")
        world.lapse_now(job)
    folder = Path(site.settings.lock_folder)
    folder.write_text("no folder")
    assert site.run(job) is None
    code, detail = why(world, job)
    assert (code, world.row(job).state) == ("tried_later", JobState.RUNNING if begun else JobState.QUEUED)
    assert "File exists" in detail
    folder.unlink()
    if begun:
        world.lapse_now(job)
    else:
        world.due_now(job)
    site.run(job)
    assert (world.row(job).state, world.row(job).deaths) == (JobState.SUCCEEDED, int(begun))


def test_a_database_that_takes_no_writes_is_waited_for(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failover to a standby, or with its disk full: the job goes on when it takes them again."""
    job, fake, caught_up = asked(site), site._host(), list[bool]()

    def read_only() -> Host:
        write_here(world.engine, allowed=False)
        return fake

    real = Attempt.catch_up

    def catch_up(self: Attempt) -> None:
        caught_up.append(True)
        write_here(world.engine, allowed=True)
        real(self)

    monkeypatch.setattr(Attempt, "catch_up", catch_up)
    run_job(job, Hands(site.settings, site.journal, read_only, lambda _: None))
    assert caught_up == [True]
    assert (world.row(job).state, world.row(job).deaths) == (JobState.SUCCEEDED, 0)


@pytest.mark.parametrize("committed", [True, False])
def test_a_database_that_is_away_when_a_job_goes_back_into_the_line(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    """Somebody else has the VM: the job waits in the line, told once, and is done when its turn has come."""
    job = asked(site)
    call, lost = once(outcome.back_into_line, committed=committed)
    monkeypatch.setattr(outcome, "back_into_line", call)
    with hold(site.settings.lock_folder, site.guest.uuid, "web", 1):
        assert site.run(job) is None
    assert lost
    assert (world.row(job).state, world.events(job).count("job.requeued")) == (JobState.QUEUED, 1)
    world.due_now(job)
    site.run(job)
    assert (world.row(job).state, world.row(job).deaths) == (JobState.SUCCEEDED, 0)


@pytest.mark.parametrize("committed", [True, False])
def test_a_database_that_is_away_when_libvirt_is_away_too(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    """The job is let go, told once with what was the matter; nobody has died of it, and it is done later."""
    job = asked(site)
    call, lost = once(leaving.let_go, committed=committed)
    monkeypatch.setattr(leaving, "let_go", call)

    def nowhere() -> Host:
        raise HostLost(detail="no libvirtd")

    assert run_job(job, Hands(site.settings, site.journal, nowhere, lambda _: None)) is None
    assert lost
    assert (world.row(job).state, world.row(job).worker) == (JobState.RUNNING, None)
    assert world.events(job).count("job.let_go") == 1
    assert "no libvirtd" in why(world, job)[1]
    world.lapse_now(job)
    site.run(job)
    assert (world.row(job).state, world.row(job).deaths) == (JobState.SUCCEEDED, 0)


@pytest.mark.parametrize("lapsed", [False, True])
@pytest.mark.parametrize("committed", [True, False])
def test_a_database_that_is_away_when_a_job_is_taken_up(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch, *, committed: bool, lapsed: bool
) -> None:
    """The message that led here is not lost with it: the job is done, be it its first attempt or one after a death."""
    job = asked(site)
    if lapsed:
        given(site.journal.claim(job, worker="h1/dead", lease_s=30)).start("check_vm")
        world.lapse_now(job)
    call, lost = once(Journal.claim, committed=committed)
    monkeypatch.setattr(Journal, "claim", call)
    site.run(job)
    assert lost
    assert (world.row(job).state, world.row(job).deaths) == (JobState.SUCCEEDED, int(lapsed))


def test_a_database_that_is_away_when_the_next_is_called(site: Site, world: World) -> None:
    """The job has ended and its worker says so; the next one is still owed its message."""
    job, following = asked(site), site.ask(CreateSnapshot(vm=str(site.guest.uuid), name="t", type="hot"))
    fake = site._host()

    def away_again(_vm: UUID) -> None:
        raise away()

    ended = run_job(job, Hands(site.settings, site.journal, lambda: fake, away_again))
    assert given(ended).state is world.row(job).state is JobState.SUCCEEDED
    assert (world.row(following).state, world.row(following).published_at) == (JobState.QUEUED, None)


@pytest.mark.parametrize("taken", [False, True])
def test_who_could_not_renew_its_lease_has_not_died(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    """The database was away for longer than the lease: the job goes on, also if another was quicker to take it over."""
    job = asked(site)
    real, others = Progress.check, list[Attempt]()

    def check(self: Progress) -> None:
        if not self.lease_lost:
            self.lease_lost = True
            world.lapse_now(job)
            if taken:
                others.append(given(site.journal.claim(job, worker="h1/quick", lease_s=30, max_deaths=3)))
                assert world.row(job).deaths == 1
        real(self)

    monkeypatch.setattr(Progress, "check", check)
    assert site.run(job) is None
    monkeypatch.undo()
    row = world.row(job)
    assert (row.state, row.worker, row.deaths) == (JobState.RUNNING, "h1/quick" if taken else None, 0)
    if others:
        others[0].let_go(ERROR)
    world.lapse_now(job)
    site.run(job)
    assert (world.row(job).state, world.row(job).deaths) == (JobState.SUCCEEDED, 0)


def test_a_death_is_taken_back_once(site: Site, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the answer is lost and it is done again: the death of another stays."""
    job = asked(site)
    given(site.journal.claim(job, worker="h1/dies", lease_s=30))
    world.lapse_now(job)
    slow = given(site.journal.claim(job, worker="h1/slow", lease_s=30))
    world.lapse_now(job)
    given(site.journal.claim(job, worker="h1/last", lease_s=30))
    call, lost = once(leaving.let_go, committed=True)
    monkeypatch.setattr(leaving, "let_go", call)
    with pytest.raises(OperationalError):
        slow.let_go(ERROR)
    slow.let_go(ERROR)
    assert lost
    assert world.row(job).deaths == 1
    assert world.events(job)[-2:] == ["job.taken_over", "job.let_go"]


def test_who_comes_back_late_takes_back_its_own_death_only(site: Site, world: World) -> None:
    """The one after it has died: that one counts."""
    job = asked(site)
    slow = given(site.journal.claim(job, worker="h1/slow", lease_s=30))
    for name in ("h1/dies", "h1/last"):
        world.lapse_now(job)
        given(site.journal.claim(job, worker=name, lease_s=30))
    assert world.row(job).deaths == 2
    slow.let_go(ERROR)
    assert (world.row(job).deaths, world.row(job).worker) == (1, "h1/last")
    with pytest.raises(LostLease):
        slow.start("check_vm")


def test_an_end_is_written_though_the_host_cannot_be_looked_at(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is done; what the VM looks like now the keeper finds out."""

    def look(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(body, "read_vm", look)
    job = asked(site)
    site.run(job)
    assert world.row(job).state is JobState.SUCCEEDED
