"""What retention keeps and why."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.errors import Invalid
from stillframe.policies.retention import PERIODS, Kept, Retention, Verdict, check_retention, decide

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SEOUL = ZoneInfo("Asia/Seoul")
BERLIN = ZoneInfo("Europe/Berlin")


def taken(*ages: timedelta, **facts: bool | str) -> list[Kept]:
    """Snapshots of these ages, the first with id 1."""
    return [
        Kept(id=UUID(int=number), created_at=NOW - age, **facts)  # type: ignore[arg-type]
        for number, age in enumerate(ages, start=1)
    ]


def staying(verdicts: list[Verdict]) -> list[int]:
    return [verdict.id.int for verdict in verdicts if verdict.keep]


def why(verdicts: list[Verdict], number: int) -> str:
    return "; ".join(next(one.reasons for one in verdicts if one.id.int == number))


def test_nothing_set_keeps_everything() -> None:
    """An empty set of rules never prunes."""
    assert Retention().keeps_all
    assert staying(decide(Retention(), taken(*(n * DAY for n in range(50))), NOW, SEOUL)) == list(
        range(1, 51)
    )


def test_last_counts_from_the_newest() -> None:
    """`last 3` keeps the three newest and says which each of them is."""
    verdicts = decide(Retention(last=3), taken(*(n * HOUR for n in range(6))), NOW, SEOUL)
    assert staying(verdicts) == [1, 2, 3]
    assert why(verdicts, 2) == "last 2 of 3"
    assert why(verdicts, 4) == "no rule keeps it"


def test_a_day_is_a_day_of_the_policys_place() -> None:
    """Two snapshots around midnight in Seoul are two days there, and one day in UTC."""
    around = [
        Kept(id=UUID(int=1), created_at=datetime(2026, 11, 22, 15, 30, tzinfo=UTC)),
        Kept(id=UUID(int=2), created_at=datetime(2026, 11, 22, 14, 30, tzinfo=UTC)),
    ]
    assert staying(decide(Retention(daily=2), around, NOW, SEOUL)) == [1, 2]
    assert staying(decide(Retention(daily=2), around, NOW, ZoneInfo("UTC"))) == [1]


def test_an_hour_that_is_lived_twice_is_two_hours() -> None:
    """In the night when the clock goes back, 02:30 and 02:30 are not the same hour."""
    twice = [
        Kept(id=UUID(int=1), created_at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        Kept(id=UUID(int=2), created_at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ]
    assert staying(decide(Retention(hourly=2), twice, NOW, BERLIN)) == [1, 2]


def test_rules_are_a_union_and_every_reason_is_told() -> None:
    """One snapshot may be kept by several rules; an empty period does not use up a count."""
    verdicts = decide(Retention(last=1, daily=2, yearly=1), taken(HOUR, 9 * DAY, 400 * DAY), NOW, SEOUL)
    assert staying(verdicts) == [1, 2]
    assert why(verdicts, 1) == "the last good one; last 1 of 1; daily 2026-11-23; yearly 2026"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"held": True}, "held"),
        ({"in_use": "extract job 7"}, "in use: extract job 7"),
        ({"good": False}, "not ready"),
    ],
)
def test_what_is_protected_stays_whatever_the_caps_say(facts: dict[str, bool | str], reason: str) -> None:
    """A held one, one in use and one that is not whole are not pruned, and use up no count."""
    old = Kept(id=UUID(int=9), created_at=NOW - 900 * DAY, **facts)  # type: ignore[arg-type]
    verdicts = decide(Retention(last=1, max_age=DAY, max_count=1), [*taken(HOUR, 2 * HOUR), old], NOW, SEOUL)
    assert staying(verdicts) == [1, 9]
    assert reason in why(verdicts, 9)


def test_the_last_good_one_is_never_pruned() -> None:
    """Not by age, however old, and not when newer ones have failed."""
    failed = Kept(id=UUID(int=7), created_at=NOW, good=False)
    verdicts = decide(Retention(max_age=DAY), [failed, *taken(90 * DAY, 91 * DAY)], NOW, SEOUL)
    assert staying(verdicts) == [7, 1]
    assert why(verdicts, 1).startswith("the last good one")


def test_min_keep_stands_above_the_caps() -> None:
    """The newest `min_keep` stay although they are older than allowed."""
    ages = [n * DAY for n in range(10, 16)]
    assert staying(decide(Retention(max_age=DAY, min_keep=3), taken(*ages), NOW, SEOUL)) == [1, 2, 3]


def test_a_cap_says_which_rule_it_overrules() -> None:
    """What a cap takes from a rule is told in the verdict."""
    verdicts = decide(Retention(daily=5, max_count=2), taken(*(n * DAY for n in range(4))), NOW, SEOUL)
    assert staying(verdicts) == [1, 2]
    assert why(verdicts, 3) == "over max_count 2; although daily 2026-11-21 would keep it"


def test_nothing_goes_by_age_after_an_outage() -> None:
    """A host that was off for a month does not lose its history on the day it comes back."""
    ages = [30 * DAY, 31 * DAY, 32 * DAY]
    for retention in (Retention(within=7 * DAY), Retention(max_age=7 * DAY)):
        verdicts = decide(retention, taken(*ages), NOW, SEOUL, usual_gap=DAY)
        assert staying(verdicts) == [1, 2, 3]
        assert "nothing goes by age" in why(verdicts, 3)
        assert staying(decide(retention, taken(HOUR, *ages), NOW, SEOUL, usual_gap=DAY)) == [1]


def test_what_is_dated_in_the_future_stays_and_counts_for_nothing() -> None:
    """A clock that was wrong neither prunes what it made nor what was made by a right one."""
    verdicts = decide(Retention(last=1), taken(-5 * DAY, HOUR, 2 * HOUR), NOW, SEOUL)
    assert staying(verdicts) == [1, 2]


counts = st.integers(0, 6)
lengths = st.none() | st.integers(1, 400).map(lambda n: n * HOUR)
retentions = st.builds(
    Retention,
    **dict.fromkeys(("last", *PERIODS), counts),
    within=lengths,
    max_age=lengths,
    max_count=st.none() | st.integers(1, 9),
    min_keep=st.integers(0, 4),
)
ages = st.lists(st.integers(-50, 20_000).map(lambda n: n * HOUR / 3), unique=True, max_size=40)
zones = st.sampled_from([SEOUL, BERLIN, ZoneInfo("UTC"), ZoneInfo("Australia/Lord_Howe")])


@given(retentions, ages, zones, st.none() | st.just(DAY))
def test_only_a_cap_removes_what_a_rule_keeps(
    retention: Retention, ages: list[timedelta], zone: ZoneInfo, gap: timedelta | None
) -> None:
    """Each rule asked alone: what it keeps is kept by all together, unless a cap that is named removes it."""
    snapshots = taken(*ages)
    together = {one.id: one for one in decide(retention, snapshots, NOW, zone, gap)}
    assert len(together) == len(snapshots)
    for name in ("last", *PERIODS, "within"):
        alone = Retention(**{name: getattr(retention, name)})
        if not alone.has_rules:
            continue
        for one in decide(alone, snapshots, NOW, zone, gap):
            found = together[one.id]
            assert not one.keep or found.keep or any("max_" in reason for reason in found.reasons)


@given(retentions, ages, zones)
def test_some_good_one_always_stays(retention: Retention, ages: list[timedelta], zone: ZoneInfo) -> None:
    """Whatever the rules, the newest good snapshot of the past stays, and min_keep of them if there are as many."""
    verdicts = decide(retention, taken(*ages), NOW, zone)
    past = [one for one in verdicts if one.created_at <= NOW]
    assert sum(one.keep for one in past) >= min(len(past), max(1, retention.min_keep))


@given(retentions, ages, zones)
def test_pruning_what_was_shown_leaves_what_was_shown(
    retention: Retention, ages: list[timedelta], zone: ZoneInfo
) -> None:
    """Decided again on what stays, everything stays: a second prune finds nothing to do."""
    snapshots = taken(*ages)
    left = set(staying(decide(retention, snapshots, NOW, zone)))
    again = decide(retention, [one for one in snapshots if one.id.int in left], NOW, zone)
    assert set(staying(again)) == left


@pytest.mark.parametrize(
    ("retention", "word"),
    [
        (Retention(last=-1), "may be 1"),
        (Retention(max_count=0), "keep nothing"),
        (Retention(last=7, max_count=5), "contradicts itself: `last` keeps 7"),
        (Retention(min_keep=7, max_count=5), "`min_keep`"),
        (Retention(within=9 * DAY, max_age=DAY), "`within` is longer"),
        (Retention(monthly=12, max_age=30 * DAY), "`monthly` keeps 12"),
    ],
)
def test_contradictions_are_refused(retention: Retention, word: str) -> None:
    """Caps that take away what the rules promise are met when the policy is made, not at night."""
    with pytest.raises(Invalid, match=word):
        check_retention(retention)


def test_usual_rules_are_fine() -> None:
    """What people write is not refused."""
    check_retention(
        Retention(last=3, hourly=24, daily=7, weekly=4, monthly=12, max_age=400 * DAY, max_count=60)
    )
