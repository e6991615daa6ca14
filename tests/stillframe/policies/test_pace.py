"""Whether a schedule leaves its snapshots the time they take."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stillframe.errors import PolicyTooFast
from stillframe.policies.pace import Took, check_pace, warnings
from stillframe.policies.policy import Guards, Policy, Selector
from stillframe.policies.retention import Retention
from stillframe.policies.schedule import Schedule

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def policy(*schedules: Schedule, **changes: Any) -> Policy:
    return Policy(
        name="p", selector=Selector(names=("*",)), schedules=schedules, retention=Retention(), **changes
    )


FIVE = Schedule(every=5 * MINUTE)


def test_what_none_of_its_vms_could_keep_is_refused() -> None:
    """Every one of them is slower than the schedule is; the quickest is named."""
    took = [Took("big", "h1", 20 * MINUTE), Took("web", "h1", timedelta(seconds=437))]
    with pytest.raises(PolicyTooFast) as refused:
        check_pace(policy(FIVE), took, NOW)
    assert (refused.value.context["vm"], refused.value.context["took"], refused.value.context["gap"]) == (
        *("web", "7m 17s"),
        "5m",
    )


@pytest.mark.parametrize("other", [4 * MINUTE, None])
def test_what_some_could_not_keep_is_made_and_said(other: timedelta | None) -> None:
    """One that is quick enough, or of which nothing is known, is reason enough to make it."""
    took = [Took("big", "h1", 20 * MINUTE), Took("web", "h1", other)]
    check_pace(policy(FIVE), took, NOW)
    (said,) = warnings(policy(FIVE), took, NOW)
    assert "big (20m)" in said
    assert "web" not in said
    assert "skipped" in said


def test_many_quick_ones_may_not_fit_either() -> None:
    """A hundred of a quarter of a minute, two at once, take longer than ten minutes."""
    took = [Took(f"web{number}", "h1", timedelta(seconds=15)) for number in range(100)]
    (said,) = warnings(policy(Schedule(cron="*/10 * * * *")), took, NOW)
    assert "100 VMs of host h1, 2 at once, need about 12m 30s" in said
    assert warnings(policy(Schedule(cron="*/10 * * * *"), guards=Guards(max_per_host=4)), took, NOW) == []


def test_what_fits_is_not_talked_about() -> None:
    """Nothing is said of a schedule that leaves time, fires once, or of which nothing is known."""
    assert warnings(policy(FIVE), [Took("web", "h1", 4 * MINUTE)], NOW) == []
    assert warnings(policy(FIVE), [Took("web", "h1", None)], NOW) == []
    once = Schedule(cron="0 0 * * *", end_at=NOW + timedelta(hours=13))
    check_pace(policy(once), [Took("web", "h1", timedelta(days=9))], NOW)
    assert warnings(policy(once), [Took("web", "h1", timedelta(days=9))], NOW) == []


def test_it_is_the_shortest_time_between_two_that_counts() -> None:
    """Five minutes apart once a day is five minutes."""
    twice = Schedule(cron="0,5 3 * * *")
    assert twice.shortest_gap(NOW) == 5 * MINUTE
    with pytest.raises(PolicyTooFast):
        check_pace(policy(twice), [Took("web", "h1", 6 * MINUTE)], NOW)
