"""A job from its message to its end, with the database going away in between."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from models.jobs import outcome
from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from stillframe.errors import HypervisorFailed
from stillframe.operations import CreateSnapshot, ExtractVolume, RevertSnapshot
from stillframe.states import JobState, VmState, VolumeSnapshotState
from tests.given import given
from tests.workers.site import Site, away
from tests.world import World
from workers import identity
from workers.hold import hold
from workers.progress import Progress

pytestmark = pytest.mark.postgres


@pytest.fixture
def site(engine: Engine, tmp_path: Path) -> Site:
    """A host with a VM that runs."""
    return Site(engine, tmp_path)


def test_an_outage_past_the_point_of_no_return_turns_nothing_back(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The VM of a revert is stopped, and Postgres is away until the job's time is over: it is reverted and runs."""
    job = site.ask(RevertSnapshot(snapshot_id=str(site.snapshot()), timeout_s=600))
    before = site.heads()
    real, over = Attempt.finish, list[str]()

    def finish(self: Attempt, step: str, output: Any, then: str | None, no_return: bool = False) -> bool:
        if step == "stop_vm" and not over:
            over.append(step)
            raise away()
        return real(self, step, output, then, no_return)

    monkeypatch.setattr(Attempt, "finish", finish)
    monkeypatch.setattr(Progress, "is_late", property(lambda _: bool(over)))
    site.run(job)
    assert over
    assert (world.row(job).state, site.state()) == (JobState.SUCCEEDED, VmState.RUNNING)
    assert site.heads() != before


@pytest.mark.parametrize("committed", [True, False])
def test_what_has_turned_back_does_not_go_forward_again(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    """A step fails, and the answer to the turning back is lost: the VM is as before, and the job says why."""
    job = site.ask(RevertSnapshot(snapshot_id=str(site.snapshot())))
    before = site.heads()
    site.machine.fail_next("define", HypervisorFailed(detail="a passing no"))
    real, lost = outcome.turn_back, list[bool]()

    def turn_back(session: Session, end: outcome.End, error: Any) -> None:
        if lost:
            return real(session, end, error)
        lost.append(True)
        if committed:
            real(session, end, error)
            session.commit()
        raise away()

    monkeypatch.setattr(outcome, "turn_back", turn_back)
    site.run(job)
    assert lost
    row = world.row(job)
    assert row.state is JobState.FAILED
    assert "a passing no" in given(row.error)["detail"]
    assert (site.heads(), site.state()) == (before, VmState.RUNNING)


@pytest.mark.parametrize("committed", [True, False])
def test_whether_the_point_of_no_return_is_passed_is_what_the_row_says(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    """The answer to the very commit that passes it is lost, and the job's time is over: it goes on, or turns back."""
    job = site.ask(RevertSnapshot(snapshot_id=str(site.snapshot()), timeout_s=600))
    before = site.heads()
    real, lost = Attempt._once, list[bool]()

    def once(self: Attempt, statement: str, **values: Any) -> Any:
        if not values.get("no_return") or lost:
            return real(self, statement, **values)
        lost.append(True)
        if committed:
            real(self, statement, **values)
        raise away()

    monkeypatch.setattr(Attempt, "_once", once)
    monkeypatch.setattr(Progress, "is_late", property(lambda _: bool(lost)))
    site.run(job)
    row = world.row(job)
    assert lost
    assert (row.no_return_at is not None) is committed
    assert row.state is (JobState.SUCCEEDED if committed else JobState.FAILED)
    assert (site.heads() != before) is committed
    assert site.state() is VmState.RUNNING


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize(
    ("write", "state"),
    [("succeed", JobState.SUCCEEDED), ("fail", JobState.FAILED), ("stuck", JobState.STUCK)],
)
def test_an_end_whose_answer_was_lost_is_known(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch, write: str, state: JobState, *, committed: bool
) -> None:
    """The attempt says what the row says, and the end is told once."""
    job = site.ask(CreateSnapshot(vm=str(site.guest.uuid), name="s", type="hot"))
    for call, times in {"succeed": {}, "fail": {"cut": 1}, "stuck": {"cut": 1, "images.remove": 9}}[
        write
    ].items():
        for _ in range(times):
            site.machine.fail_next(call, HypervisorFailed(detail="no"))
    real, lost = getattr(outcome, write), list[bool]()

    def end(session: Session, *about: Any, **more: Any) -> None:
        first = not lost
        lost.append(True)
        if committed or not first:
            real(session, *about, **more)
        if first:
            session.commit()
            raise away()

    monkeypatch.setattr(outcome, write, end)
    attempt = given(site.run(job))
    assert lost
    assert (attempt.state, world.row(job).state) == (state, state)
    assert (attempt.error or {}).get("code") == (world.row(job).error or {}).get("code")
    assert world.events(job).count(f"job.{state}") == 1


@pytest.mark.parametrize("lost", [False, True])
def test_a_cancel_in_the_last_moment_is_true(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    """An extract has done its last step when it is accepted: the job is cancelled, and nothing is left of the copy."""
    job = site.ask(ExtractVolume(snapshot_id=str(site.snapshot()), target="vda", name="copy"))
    before = site.files()
    real, answers = Attempt.finish, [away()] if lost else []

    def finish(self: Attempt, step: str, output: Any, then: str | None, no_return: bool = False) -> bool:
        if then is None:
            assert site.files() > before
            assert site.journal.request_cancel(job, "kim") is JobState.RUNNING
        return real(self, step, output, then, no_return)

    def turn_back(session: Session, end: outcome.End, error: Any) -> None:
        really_turn_back(session, end, error)
        if answers:
            session.commit()
            raise answers.pop()

    really_turn_back = outcome.turn_back
    monkeypatch.setattr(Attempt, "finish", finish)
    monkeypatch.setattr(outcome, "turn_back", turn_back)
    ended = given(site.run(job))
    row = world.row(job)
    assert (row.state, ended.state) == (JobState.CANCELLED, JobState.CANCELLED)
    assert not answers
    assert site.files() == before
    volume = world.volume_row(given(row.volume_snapshot_id))
    assert (volume.state, given(volume.error)["code"]) == (VolumeSnapshotState.ERROR, "job.cancelled")
    assert [state for _, state, _ in world.steps(job)] == ["undone"] * 3


def test_who_has_lost_a_job_and_carries_another_lives_on(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job is taken over while somebody else has the VM in hand: the job waits, and nobody is killed for it."""
    monkeypatch.setattr("workers.run_job.HOLD_S", 0.3)
    job = site.ask(CreateSnapshot(vm=str(site.guest.uuid), name="s", type="hot"))
    works = "import sys\nfrom workers import identity\nprint(identity.own('h1'), flush=True)\nsys.stdin.readline()"
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", works], cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        other = given(process.stdout).readline().strip()
        assert Journal(world.engine).claim(job, worker=other, lease_s=30)
        world.lapse_now(job)
        with hold(site.settings.lock_folder, site.guest.uuid, "web", 1):
            assert site.run(job) is None
        assert identity.is_alive(other)
    assert world.row(job).state is JobState.QUEUED
