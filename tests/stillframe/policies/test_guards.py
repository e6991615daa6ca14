"""Whether a firing's turn is now."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from stillframe.policies.guards import GO, Moment, turn, type_at
from stillframe.policies.policy import Guards, Policy, Selector
from stillframe.policies.retention import Retention
from stillframe.policies.schedule import Schedule
from stillframe.policies.windows import Window
from stillframe.states import VmState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
POLICY = Policy(
    name="p",
    selector=Selector(names=("*",)),
    schedules=(Schedule(cron="@daily"),),
    retention=Retention(last=3),
    guards=Guards(max_depth=8, min_free_bytes=100, min_free_percent=10, max_per_host=2, max_per_storage=3),
    blackouts=(Window(begin="02:00", end="03:00"),),
)
QUIET = Moment(vm="web1", state=VmState.RUNNING, depth=2, free_bytes=500, free_percent=50.0)


def test_nothing_in_the_way_goes() -> None:
    """A VM that runs on a roomy, idle host has its turn."""
    assert turn(POLICY, "skip", "UTC", QUIET, NOW) == GO


@pytest.mark.parametrize(
    ("facts", "kind", "word"),
    [
        ({"depth": 8}, "skip", "8 layers"),
        ({"free_bytes": 99}, "skip", "99 B are free on its storage, and the guard wants 100 B"),
        ({"free_bytes": 150, "free_percent": 7.5}, "skip", "7.5 %"),
        ({"merging": "j1"}, "skip", "deletion"),
        ({"own_job": "j2"}, "skip", "not over"),
        ({"on_host": 2}, "wait", "on its host"),
        ({"on_storage": 3}, "wait", "on its storage"),
    ],
)
def test_each_guard_says_what_is_in_the_way(facts: dict[str, Any], kind: str, word: str) -> None:
    """What is bad for the VM skips the firing; what is only busy lets it wait."""
    found = turn(POLICY, "skip", "UTC", replace(QUIET, **facts), NOW)
    assert found.kind == kind
    assert word in (found.reason or "")


def test_overlap_may_queue() -> None:
    """With overlap `queue` it waits for the one before it instead of being skipped."""
    assert turn(POLICY, "queue", "UTC", replace(QUIET, own_job="j2"), NOW).kind == "wait"


def test_a_blackout_is_by_the_wall_of_the_schedule() -> None:
    """02:00 to 03:00 in Seoul is 17:00 UTC of the day before."""
    at = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)
    assert turn(POLICY, "skip", "Asia/Seoul", QUIET, at).kind == "skip"
    assert turn(POLICY, "skip", "UTC", QUIET, at) == GO


@pytest.mark.parametrize(
    ("mode", "state", "type_", "goes"),
    [
        ("auto", VmState.RUNNING, "hot", True),
        ("auto", VmState.OFF, "cold", True),
        ("hot", VmState.OFF, "hot", False),
        ("memory", VmState.PAUSED, "memory", True),
        ("memory", VmState.CRASHED, "memory", False),
        ("cold", VmState.RUNNING, "cold", False),
    ],
)
def test_the_mode_has_to_fit_the_vm(mode: Any, state: VmState, type_: str, goes: bool) -> None:
    """`auto` takes what fits; any other mode is skipped, with the reason, where it does not."""
    policy = replace(POLICY, mode=mode)
    assert type_at(policy, state) == type_
    assert (turn(policy, "skip", "UTC", replace(QUIET, state=state), NOW) == GO) is goes
