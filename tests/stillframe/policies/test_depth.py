"""The most that a policy keeps, against one that runs: firing after firing, pruned after each."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillframe.errors import Invalid
from stillframe.policies.as_json import policy_from_json, schedule_from_json
from stillframe.policies.depth import most_kept
from stillframe.policies.policy import check_policy
from stillframe.policies.retention import Kept, Retention, decide
from stillframe.policies.schedule import Schedule

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def lived(retention: Retention, schedules: list[Schedule], days: int) -> int:
    """What is there at the most after pruning, of one that runs for so long from now on."""
    instants = {at for one in schedules for at in one.due(NOW, NOW + days * DAY)}
    kept: list[Kept] = []
    most = 0
    for number, at in enumerate(sorted(instants)):
        kept.append(Kept(id=UUID(int=number), created_at=at))
        stay = {one.id for one in decide(retention, kept, at, schedules[0].zone) if one.keep}
        kept = [one for one in kept if one.id in stay]
        most = max(most, len(kept))
    return most


SCHEDULES = st.sampled_from(
    [
        [{"cron": "30 2 * * *", "timezone": "Asia/Seoul"}],
        [{"every": "7h"}],
        [{"cron": "0 */6 * * *"}, {"cron": "0 12 * * 0"}],
        [{"cron": "15 3 * * 1-5", "timezone": "Europe/Berlin"}],
        [{"cron": "0 0 * * *", "end_at": "2026-12-05T00:00:00Z"}],
    ]
)
RULES = st.builds(
    Retention,
    last=st.integers(0, 6),
    hourly=st.integers(0, 6),
    daily=st.integers(0, 9),
    weekly=st.integers(0, 5),
    monthly=st.integers(0, 3),
    within=st.none() | st.integers(1, 10).map(lambda days: days * DAY),
    max_age=st.none() | st.integers(20, 60).map(lambda days: days * DAY),
    max_count=st.none() | st.integers(10, 30),
)


@settings(deadline=None, max_examples=25)
@given(wishes=SCHEDULES, retention=RULES)
def test_one_that_runs_keeps_no_more(wishes: list[dict[str, Any]], retention: Retention) -> None:
    """A hundred and fifty days of it, pruned after each firing: a guard at what it comes to is found, one well above is not."""
    if retention.keeps_all:
        return
    schedules = [schedule_from_json(wish) for wish in wishes]
    real = lived(retention, schedules, 150)
    assert most_kept(retention, schedules, NOW, max(real - 1, 1)) >= max(real - 1, 1)
    # The periods of a year fall otherwise than those of these months.
    assert most_kept(retention, schedules, NOW, real + 3) < real + 3


@pytest.mark.parametrize(
    ("retention", "schedules", "said"),
    [
        ({"last": 3, "daily": 7, "weekly": 4}, [{"cron": "0 2 * * *"}], True),
        ({"last": 10, "daily": 9}, [{"every": "1h"}], False),
        ({"within": "2d"}, [{"every": "1h"}], False),
        ({"within": "2d"}, [{"every": "6h"}], True),
        ({"max_age": "10d"}, [{"every": "12h"}], False),
        ({"max_age": "10d"}, [{"every": "1d"}], True),
        ({"hourly": 6, "daily": 7, "weekly": 4, "monthly": 6}, [{"every": "1h"}], False),
        # Once a week there is nothing that daily and weekly keep apart.
        ({"daily": 9, "weekly": 9}, [{"cron": "0 2 * * 0"}], True),
        ({"last": 9, "max_count": 15}, [{"every": "1h"}], True),
        ({"within": "90d"}, [{"every": "1h", "end_at": "2026-11-23T20:00:00Z"}], True),
        ({"last": 200, "yearly": 90}, [{"every": "1m"}], False),
    ],
)
def test_what_would_stop_for_good_is_refused(
    retention: dict[str, Any], schedules: list[dict[str, Any]], said: bool
) -> None:
    """Rules together, and ages: what comes to the sixteen layers of the guard is met when it is made."""
    wish = {"name": "p", "selector": {"names": ["*"]}, "schedules": schedules, "retention": retention}
    policy = policy_from_json(wish)
    if said:
        check_policy(policy, NOW)
        return
    with pytest.raises(Invalid, match="stop for good"):
        check_policy(policy, NOW)
