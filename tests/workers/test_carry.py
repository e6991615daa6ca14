"""How a plan is carried: what counts as a failure of a step, and what becomes of it."""

from typing import Any
from uuid import uuid4

import pytest

from hypervisor.fake import FakeHost, FakeMachine
from stillframe.errors import Cancelled, HostLost, HypervisorFailed, NotNow, Refused
from stillframe.operations import DeleteSnapshot
from tests.workers.fake_world import MemoryJournal, Mortality, wards_in
from workers.carry import End, Ending, Standing, carry
from workers.progress import Progress
from workers.steps import Each, Output, Part, Plan, Step, Work
from workers.watch_folder import WatchFolder


class Stage:
    """A machine that only notes what was done to it."""

    def __init__(self) -> None:
        self.machine = FakeMachine()
        self.done: list[str] = []
        self.fail: dict[str, list[Exception]] = {}
        self.journal = MemoryJournal(Mortality())
        self.progress = Progress()

    def act(self, name: str, output: Output | None = None) -> Any:
        """A step's act, which raises what `fail` holds for it, one at a time."""

        def act(*_: Any) -> Output:
            if self.fail.get(name):
                raise self.fail[name].pop(0)
            self.done.append(name)
            return output or {}

        return act

    def carry(self, plan: Plan, standing: Standing | None = None) -> Ending:
        """One attempt."""
        host = FakeHost(self.machine)
        job, vm = uuid4(), uuid4()
        work = Work(
            job=job,
            attempt=1,
            operation=DeleteSnapshot(snapshot_id=""),
            host=host,
            vm=host.vm(vm),
            snapshot=uuid4(),
            volume_snapshot=None,
            words={},
            folder=None,
            outputs=dict(self.journal.outputs),
            pulse=self.progress,
            block_layers_folder="/",
            known={},
            wards=wards_in(WatchFolder("/nowhere", "here"), vm, "vm1", job),
        )
        return carry(plan, work, self.journal, standing or self.journal.standing(), self.progress)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def plan(stage: Stage) -> Plan:
    """Look, make (with undo), cut (final), and one end for each item."""
    return Plan(
        "delete_snapshot",
        Step("look", stage.act("look", {"items": [{"key": "a"}, {"key": "b"}]})),
        Step("make", stage.act("make"), undo=stage.act("unmake")),
        Step("cut", stage.act("cut"), final=True),
        Each("look", "items", parts=lambda _: (Part("end", stage.act("end")),)),
    )


def test_steps_go_in_order_and_each_once(stage: Stage) -> None:
    """A plan is carried from first to last, with one step for each item found on the way."""
    assert stage.carry(plan(stage)).end is End.SUCCEEDED
    assert stage.done == ["look", "make", "cut", "end", "end"]


def test_a_failure_before_the_point_of_no_return_is_walked_back(stage: Stage) -> None:
    """What was begun is undone, and the job fails with the step's own error."""
    stage.fail["make"] = [Refused(detail="no")]
    ending = stage.carry(plan(stage))
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "refused")
    assert stage.done == ["look", "unmake"]


def test_a_failure_behind_it_is_tried_again_then_stuck(stage: Stage) -> None:
    """Past the point of no return nothing is undone: twice again, then a person is asked, with the error as evidence."""
    stage.fail["cut"] = [HypervisorFailed(detail="once")]
    assert stage.carry(plan(stage)).end is End.SUCCEEDED

    other = Stage()
    other.fail["cut"] = [HypervisorFailed(detail=str(number)) for number in range(3)]
    ending = other.carry(plan(other))
    assert (ending.end, (ending.error or {})["code"]) == (End.STUCK, "hypervisor.failed")
    assert other.done == ["look", "make"]


def test_an_undo_that_fails_is_stuck_with_both_errors(stage: Stage) -> None:
    """Neither forward nor back: it ends with why it could not, and the journal keeps why it turned back."""
    stage.fail["make"] = [Refused(detail="no")]
    stage.fail["unmake"] = [HypervisorFailed(detail="stays")] * 3
    ending = stage.carry(plan(stage))
    assert ending.end is End.STUCK
    assert (ending.error or {})["code"] == "hypervisor.failed"
    assert (stage.journal.error or {})["code"] == "refused"


def test_not_now_before_anything_was_done_waits(stage: Stage) -> None:
    """A VM that is busy for the moment puts the job back into the line; nothing was touched."""
    stage.fail["look"] = [NotNow(detail="busy")]
    assert stage.carry(plan(stage)).end is End.LATER


def test_a_cancel_is_heard_until_the_point_of_no_return(stage: Stage) -> None:
    """Asked for before, it undoes and ends cancelled; asked for behind it, the job goes on to its end."""
    stage.progress.cancel_asked = True
    assert stage.carry(plan(stage)).end is End.CANCELLED
    assert "cut" not in stage.done

    late = Stage()
    late.progress.cancel_asked = True
    begun = Standing(
        frozenset({"look", "make", "cut"}), frozenset({"look", "make"}), frozenset(), no_return=True
    )
    late.journal.outputs["look"] = {"items": []}
    assert late.carry(plan(late), begun).end is End.SUCCEEDED


def test_a_lost_connection_is_no_failure(stage: Stage) -> None:
    """The step is done again on a new connection; if libvirt stays away the job is left as it stands."""
    stage.fail["make"] = [HostLost(detail="gone")]
    assert stage.carry(plan(stage)).end is End.SUCCEEDED
    assert "unmake" not in stage.done

    other = Stage()
    other.fail["cut"] = [HostLost(detail="gone")] * 9
    with pytest.raises(HostLost):
        other.carry(plan(other))
    assert "unmake" not in other.done


def test_a_journal_that_is_away_undoes_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written down is no failure of the machine: it goes through, and the next attempt goes on."""
    finish = MemoryJournal.finish

    def away(self: MemoryJournal, *_: object) -> None:
        monkeypatch.setattr(MemoryJournal, "finish", finish)
        raise ConnectionError("no database")

    monkeypatch.setattr(MemoryJournal, "finish", away)
    with pytest.raises(ConnectionError):
        stage.carry(plan(stage))
    assert stage.carry(plan(stage)).end is End.SUCCEEDED
    assert "unmake" not in stage.done


def test_a_cancel_that_a_step_raises_is_no_failure_to_try_again(stage: Stage) -> None:
    """A long call that was told to stop is not begun again."""
    stage.fail["make"] = [Cancelled()]
    assert stage.carry(plan(stage)).end is End.CANCELLED
    assert stage.done == ["look", "unmake"]
