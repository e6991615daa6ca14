"""What may be done as things stand."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from stillframe import errors
from stillframe.rights import Right
from stillframe.rules import SnapshotFacts, actions, check_delete, check_extract, check_revert, type_for
from stillframe.states import SnapshotState, SnapshotType, VmState


def facts(
    state: SnapshotState = SnapshotState.READY,
    type_: SnapshotType = SnapshotType.HOT,
    vm: VmState = VmState.RUNNING,
) -> SnapshotFacts:
    """A snapshot of VM web1."""
    return SnapshotFacts(name="s1", state=state, type=type_, vm="web1", vm_state=vm, host="h1")


def refusal(check: Callable[[SnapshotFacts], None], of: SnapshotFacts) -> str | None:
    """What a check refuses with, if it does."""
    try:
        check(of)
    except errors.StillframeError as refused:
        return refused.detail
    return None


@pytest.mark.parametrize(
    ("state", "wished", "becomes"),
    [
        (VmState.RUNNING, None, SnapshotType.HOT),
        (VmState.PAUSED, None, SnapshotType.HOT),
        (VmState.OFF, None, SnapshotType.COLD),
        (VmState.CRASHED, None, SnapshotType.COLD),
        (VmState.RUNNING, SnapshotType.MEMORY, SnapshotType.MEMORY),
        (VmState.OFF, SnapshotType.COLD, SnapshotType.COLD),
    ],
)
def test_a_type_that_fits(state: VmState, wished: SnapshotType | None, becomes: SnapshotType) -> None:
    """Without a wish the type is what fits the VM; a wish that fits is granted."""
    assert type_for("web1", state, wished) is becomes


@pytest.mark.parametrize(
    ("state", "wished", "refusal"),
    [
        (VmState.OFF, SnapshotType.MEMORY, errors.MemoryNeedsRunning),
        (VmState.OFF, SnapshotType.HOT, errors.HotNeedsRunning),
        (VmState.RUNNING, SnapshotType.COLD, errors.ColdNeedsStopped),
        (VmState.PAUSED, SnapshotType.COLD, errors.ColdNeedsStopped),
    ],
)
def test_a_type_that_does_not_fit(
    state: VmState, wished: SnapshotType, refusal: type[errors.StillframeError]
) -> None:
    """A wish that does not fit is refused with the VM's state in the sentence."""
    with pytest.raises(refusal) as refused:
        type_for("web1", state, wished)

    assert state in refused.value.detail


@pytest.mark.parametrize("state", set(SnapshotState))
def test_what_is_shown_is_what_would_happen(state: SnapshotState) -> None:
    """An action is shown as allowed exactly when the check of a request lets it through."""
    checks = {"revert": check_revert, "delete": check_delete, "extract": check_extract}
    shown = actions(facts(state), list(Right))

    for name, check in checks.items():
        reason = refusal(check, facts(state))

        assert shown[name]["allowed"] is (reason is None)
        assert (shown[name]["reason"] or "").startswith(reason or "")


def test_a_failed_snapshot_can_only_be_deleted() -> None:
    """Error rows block nothing and can always be deleted."""
    allowed = {
        name for name, one in actions(facts(SnapshotState.ERROR), list(Right)).items() if one["allowed"]
    }

    assert allowed == {"delete"}


def test_nothing_is_done_to_what_a_vm_left_behind() -> None:
    """Once a VM is gone from its host, its snapshots there wait for it to be found again."""
    shown = actions(facts(vm=VmState.GONE), list(Right))

    assert all("no longer on host h1" in one["reason"] for one in shown.values())


def test_what_is_to_be_deleted_is_not_touched_again() -> None:
    """While a deletion waits or runs, every action names its job."""
    shown = actions(replace(facts(), deletion=UUID(int=7)), list(Right))

    assert all(str(UUID(int=7)) in one["reason"] for one in shown.values())


def test_memory_says_by_itself_what_comes_after() -> None:
    """`after` is refused where it would mean nothing."""
    with pytest.raises(errors.AfterNotForMemory):
        check_revert(facts(type_=SnapshotType.MEMORY), after="stop")


@pytest.mark.parametrize("action", ["revert", "delete", "extract"])
def test_what_another_tool_made_is_used_as_far_as_was_seen(action: str) -> None:
    """Each action by itself is refused with what the worker has seen, also for one in error."""
    for state in (SnapshotState.READY, SnapshotState.ERROR):
        shown = actions(replace(facts(state), cannot={action: "it is external"}), list(Right))

        assert not shown[action]["allowed"]
    shown = actions(replace(facts(), cannot={action: "it is external"}), list(Right))
    assert "made by another tool" in shown[action]["reason"]
    assert "it is external" in shown[action]["reason"]
    assert sum(one["allowed"] for one in shown.values()) == 2


@pytest.mark.parametrize("check", [check_revert, check_delete, check_extract])
def test_of_what_is_gone_that_is_the_reason(check: Callable[[SnapshotFacts], None]) -> None:
    """What was seen while another tool's snapshot was there says nothing any more: it is deleted."""
    seen = dict.fromkeys(("revert", "delete", "extract"), "the VM is paused")
    told = refusal(check, replace(facts(SnapshotState.DELETED), cannot=seen)) or ""
    assert "not ready" in told
    assert "another tool" not in told


def test_a_right_that_is_missing_is_the_reason() -> None:
    """What somebody may not do at all is not allowed, whatever the snapshot's state, and that comes first."""
    shown = actions(facts(SnapshotState.CREATING), [Right.DELETE])

    assert "delete" in str(shown["delete"]["reason"])
    assert [name for name, one in shown.items() if "needs the right" in one["reason"]] == [
        "revert",
        "extract",
    ]
