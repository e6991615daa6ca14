"""How a plan is carried: what counts as a failure of a step, and what becomes of it."""

import errno
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
            about={uuid4(): None},
            volume_snapshot=None,
            words={},
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


def halting_plan(stage: Stage) -> Plan:
    """Make (with undo), drop (final), then for each item a part that can be halted and one that can not."""

    def halt(_work: Work, item: Output) -> None:
        stage.act(f"halt {item['key']}")()

    def parts(item: Output) -> tuple[Part, ...]:
        return (
            Part("move", stage.act(f"move {item['key']}"), halt=halt),
            Part("turn", stage.act(f"turn {item['key']}")),
        )

    items: Output = {"items": [{"key": "a"}, {"key": "b"}]}
    return Plan(
        "delete_snapshot",
        Step("make", stage.act("make"), undo=stage.act("unmake")),
        Step("drop", stage.act("drop", items), final=True),
        Each("drop", "items", parts=parts, hears=True),
        halted="Ask again.",
    )


def test_a_step_that_can_be_halted_is_stopped_and_nothing_is_taken_back(stage: Stage) -> None:
    """A cancel in the middle of it ends what is under way; what was done stays, and the remedy is the plan's."""
    stage.fail["move b"] = [Cancelled()]
    ending = stage.carry(halting_plan(stage))
    assert (ending.end, (ending.error or {})["remedy"]) == (End.CANCELLED, "Ask again.")
    assert stage.done == ["make", "drop", "move a", "turn a", "halt b", "halt a"]


def test_a_worker_that_dies_while_it_halts_is_followed_by_one_that_halts(stage: Stage) -> None:
    """The standing error and the steps that are done say that there is nothing to walk back."""
    stage.fail["move a"] = [Cancelled()]
    stage.fail["halt a"] = [HostLost(detail="gone")] * 9
    with pytest.raises(HostLost):
        stage.carry(halting_plan(stage))
    stage.fail["halt a"] = []
    assert stage.carry(halting_plan(stage)).end is End.CANCELLED
    assert stage.done == ["make", "drop", "halt a"]
    assert stage.journal.states["move:a"] == "undone"


def test_the_point_of_no_return_is_where_no_later_step_hears(stage: Stage) -> None:
    """The row says so at the last step before whose act a cancel is heard, and no sooner."""
    passed: dict[str, bool] = {}
    finish = stage.journal.finish

    def told(step: str, output: Output, then: str | None, no_return: bool = False) -> bool:
        answer = finish(step, output, then, no_return)
        passed[then or "the end"] = stage.journal.no_return
        return answer

    stage.journal.finish = told  # type: ignore[method-assign]
    assert stage.carry(halting_plan(stage)).end is End.SUCCEEDED
    assert passed == {
        "drop": False,
        "move:a": False,
        "turn:a": False,
        "move:b": False,
        "turn:b": True,
        "the end": True,
    }


@pytest.mark.parametrize("before", ["drop", "move:a", "turn:a", "move:b", "turn:b"])
def test_a_cancel_that_was_accepted_is_always_heard(stage: Stage, before: str) -> None:
    """Whatever step it comes before, as long as the row has not passed the point of no return."""
    finish = stage.journal.finish

    def told(step: str, output: Output, then: str | None, no_return: bool = False) -> bool:
        stage.journal.cancel_asked = stage.journal.cancel_asked or then == before
        return finish(step, output, then, no_return)

    stage.journal.finish = told  # type: ignore[method-assign]
    assert stage.carry(halting_plan(stage)).end is End.CANCELLED
    assert before.replace(":", " ") not in stage.done


def test_a_job_whose_time_is_over_is_stopped_like_by_a_cancel(stage: Stage) -> None:
    """It fails by the code of its own; what was done before the first final step is undone, behind it it is halted."""
    stage.progress.timeout_s, stage.progress.spent_s = 60, 61
    ending = stage.carry(plan(stage))
    assert (ending.end, (ending.error or {})["code"]) == (End.FAILED, "job.timed_out")
    assert stage.done == []

    late = Stage()
    late.progress.timeout_s = 60

    def takes_long(*_: Any) -> Output:
        late.progress.spent_s = 61
        return {}

    late.fail = {}
    slow = Plan(
        "delete_snapshot",
        Step("make", takes_long, undo=late.act("unmake")),
        Step("cut", late.act("cut"), final=True),
    )
    assert late.carry(slow).end is End.FAILED
    assert (late.done, late.journal.no_return) == (["unmake"], False)


def test_time_that_is_over_behind_the_point_of_no_return_stops_nothing(stage: Stage) -> None:
    """Who can only go forward goes to the end."""

    def takes_long(*_: Any) -> Output:
        stage.progress.spent_s = 61
        return {}

    stage.progress.timeout_s = 60
    slow = Plan(
        "delete_snapshot",
        Step("cut", takes_long, final=True),
        Step("end", stage.act("end"), final=True),
    )
    assert stage.carry(slow).end is End.SUCCEEDED


def test_what_is_waited_for_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a final step is tried again, the progress says what is in the way; after it, that nothing is."""
    told: list[Any] = []
    monkeypatch.setattr("workers.carry.time.sleep", lambda _: told.append(stage.progress.to_json()))
    stage.fail["cut"] = [NotNow(detail="a copy reads it")]
    assert stage.carry(plan(stage)).end is End.SUCCEEDED
    assert "a copy reads it" in told[0]["waiting"]
    assert stage.progress.to_json() == {"waiting": None}


def test_a_full_disk_is_called_that(stage: Stage) -> None:
    """A step that finds no room on the disk fails in words that say so, and what to do."""
    stage.fail["a"] = [OSError(errno.ENOSPC, "No space left on device", "/images/a.qcow2")]
    ending = stage.carry(Plan("p", Step("a", stage.act("a"))))
    assert ending.error is not None
    assert (ending.end, ending.error["code"]) == (End.FAILED, "storage.full")
    assert "/images/a.qcow2" in ending.error["detail"]
