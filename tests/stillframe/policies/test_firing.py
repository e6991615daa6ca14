"""What becomes of instants that fell due: they fire, or are missed with a reason."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from stillframe.policies.firing import TOLD_SINGLY, Decided, decide, jitter_of
from stillframe.policies.schedule import Misfire, Schedule

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hourly(misfire: Misfire = "run_once", **more: int) -> Schedule:
    return Schedule(cron="0 * * * *", misfire=misfire, **more)  # type: ignore[arg-type]


def test_what_is_in_time_fires() -> None:
    """A look a few seconds after the instant fires it and misses nothing."""
    found = decide(hourly("skip"), BEGIN, BEGIN + HOUR + timedelta(seconds=2))
    assert found == Decided((BEGIN + HOUR,), (), BEGIN + HOUR, BEGIN + 2 * HOUR)


@pytest.mark.parametrize(("misfire", "hours"), [("skip", []), ("run_once", [5]), ("run_all", [3, 4, 5])])
def test_what_was_missed_is_made_up_for_as_wished(misfire: Misfire, hours: list[int]) -> None:
    """After five hours of silence: nothing, the newest, or as many as are allowed; the others say why not."""
    found = decide(hourly(misfire, max_catch_up=3), BEGIN, BEGIN + 5 * HOUR + timedelta(minutes=30))
    assert [(fire - BEGIN) // HOUR for fire in found.fires] == hours
    assert len(found.fires) + len(found.missed) == 5
    assert all("nobody looked for" in one.reason for one in found.missed)
    assert all("30m" in one.reason for one in found.missed)


def test_a_long_silence_is_told_in_one_row_and_a_hundred() -> None:
    """Years of an hourly schedule do not become years of rows, and yet every instant is counted."""
    found = decide(hourly(), BEGIN, BEGIN + 5000 * HOUR)
    assert len(found.missed) == TOLD_SINGLY
    assert sum(one.count for one in found.missed) + len(found.fires) == 5000


def test_a_clock_that_is_put_back_fires_nothing_again() -> None:
    """What was decided about stays decided."""
    first = decide(hourly(), BEGIN, BEGIN + 3 * HOUR)
    again = decide(hourly(), first.mark, BEGIN + HOUR)
    assert (again.fires, again.missed, again.mark) == ((), (), first.mark)
    assert again.next_at == BEGIN + 4 * HOUR


def test_jitter_is_always_the_same_and_spread() -> None:
    """The same VM gets the same delay each time; a thousand VMs fill all parts of the span alike."""
    policy, schedule, most = UUID(int=1), UUID(int=2), HOUR
    delays = [jitter_of(policy, schedule, UUID(int=vm), most) for vm in range(1000)]
    assert delays == [jitter_of(policy, schedule, UUID(int=vm), most) for vm in range(1000)]
    assert all(timedelta(0) <= delay < most for delay in delays)
    tenths = [sum(int(delay / (most / 10)) == tenth for delay in delays) for tenth in range(10)]
    assert min(tenths) > 60
