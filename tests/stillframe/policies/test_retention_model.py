"""Retention against a slow model that shares nothing with it, and against what may never happen."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from stillframe.errors import Invalid
from stillframe.policies.retention import Kept, Retention, check_retention, decide

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PLACES = [ZoneInfo(name) for name in ("UTC", "Asia/Seoul", "Europe/Berlin", "Australia/Lord_Howe")]


def period(kind: str, at: datetime, place: ZoneInfo) -> object:
    """What two instants have in common that lie in one hour, day, week, ... of a place; by dates, not by words."""
    local = at.astimezone(place)
    day = date(local.year, local.month, local.day)
    if kind == "hourly":
        return (day, local.hour, local.utcoffset())
    return {
        "daily": day.toordinal(),
        "weekly": (day - timedelta(days=day.weekday())).toordinal(),
        "monthly": day.year * 12 + day.month - 1,
        "quarterly": (day.year * 12 + day.month - 1) // 3,
        "yearly": day.year,
    }[kind]


def is_promised(one: Kept, good: Sequence[Kept], retention: Retention, place: ZoneInfo) -> bool:
    """Whether any rule keeps it: each question is asked of all the others anew."""
    newer = [other for other in good if (other.created_at, other.id) > (one.created_at, one.id)]
    if len(newer) < retention.last:
        return True
    if retention.within is not None and NOW - one.created_at <= retention.within:
        return True
    for kind in ("hourly", "daily", "weekly", "monthly", "quarterly", "yearly"):
        own = period(kind, one.created_at, place)
        later = {period(kind, other.created_at, place) for other in newer}
        if own not in later and len(later) < getattr(retention, kind):
            return True
    nothing = [retention.last, retention.hourly, retention.daily, retention.weekly, retention.monthly]
    nothing += [retention.quarterly, retention.yearly]
    return retention.within is None and not any(nothing)


def stays(
    one: Kept, some: Sequence[Kept], retention: Retention, place: ZoneInfo, gap: timedelta | None
) -> bool:
    """The rules of docs/adr/0016 one by one, as a person would go through them with a list in hand."""
    if one.held or one.in_use or not one.good or one.created_at > NOW:
        return True
    good = [other for other in some if other.good and other.created_at <= NOW]
    newer = sum((other.created_at, other.id) > (one.created_at, one.id) for other in good)
    if newer < max(retention.min_keep, 1):
        return True
    outage = gap is not None and NOW - max(other.created_at for other in good) > 2 * gap
    old = retention.max_age is not None and NOW - one.created_at > retention.max_age
    if retention.max_count is not None and newer >= retention.max_count:
        return False
    if old and not outage:
        return False
    by_age_only = outage and (retention.within is not None or old)
    return is_promised(one, good, retention, place) or by_age_only


counts = st.sampled_from([0, 0, 0, 1, 2, 3, 7])
lengths = st.none() | st.integers(1, 60 * 24).map(lambda number: number * HOUR)
retentions = st.builds(
    Retention,
    **dict.fromkeys(("last", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"), counts),
    within=lengths,
    max_age=lengths,
    max_count=st.none() | st.integers(1, 9),
    min_keep=st.integers(0, 4),
)
ages = st.one_of(
    st.integers(-90, 600).map(lambda number: number * MINUTE),
    st.integers(-30, 3000).map(lambda number: number * HOUR),
    st.integers(0, 3000).map(lambda number: number * DAY),
)
uses = st.sampled_from([None, None, None, None, "job 7"])
facts = st.tuples(ages, st.sampled_from([True] * 4 + [False]), st.sampled_from([False] * 4 + [True]), uses)
#: Several may be of the same instant: then the id says which is newer.
many = st.lists(facts, max_size=30).map(
    lambda some: [
        Kept(id=UUID(int=number), created_at=NOW - age, good=good, held=held, in_use=use)
        for number, (age, good, held, use) in enumerate(some, start=1)
    ]
)
gaps = st.none() | st.sampled_from([HOUR, DAY, 30 * DAY])


@settings(max_examples=400, deadline=None)
@given(retentions, many, st.sampled_from(PLACES), gaps)
def test_it_is_what_the_model_says(
    retention: Retention, snapshots: list[Kept], place: ZoneInfo, gap: timedelta | None
) -> None:
    """Each snapshot has one verdict, the model's, with a reason."""
    verdicts = decide(retention, snapshots, NOW, place, gap)
    assert Counter(one.id for one in verdicts) == Counter(one.id for one in snapshots)
    assert all(one.reasons for one in verdicts)
    by_id = {one.id: one for one in snapshots}
    for verdict in verdicts:
        assert verdict.keep == stays(by_id[verdict.id], snapshots, retention, place, gap), verdict


@settings(max_examples=200, deadline=None)
@given(retentions, many, st.sampled_from(PLACES), gaps, st.randoms(use_true_random=False))
def test_what_is_protected_never_goes_and_order_does_not_matter(
    retention: Retention, snapshots: list[Kept], place: ZoneInfo, gap: timedelta | None, chance: Random
) -> None:
    """Held, in use, not whole, or the last good one: it stays, in whatever order the rows come."""
    verdicts = decide(retention, snapshots, NOW, place, gap)
    gone = {one.id for one in verdicts if not one.keep}
    assert not gone & {one.id for one in snapshots if one.held or one.in_use or not one.good}
    good = [one for one in snapshots if one.good and one.created_at <= NOW]
    if good:
        assert max(good, key=lambda one: (one.created_at, one.id)).id not in gone
    shuffled = list(snapshots)
    chance.shuffle(shuffled)
    assert decide(retention, shuffled, NOW, place, gap) == verdicts


@settings(max_examples=200, deadline=None)
@given(retentions, many, st.sampled_from(PLACES), gaps)
def test_a_hold_removes_no_other(
    retention: Retention, snapshots: list[Kept], place: ZoneInfo, gap: timedelta | None
) -> None:
    """Holding one changes nothing for the others: it does not push another out of its place, nor keep it."""
    if not snapshots:
        return
    first = {one.id: one.keep for one in decide(retention, snapshots, NOW, place, gap)}
    held = [Kept(**(vars(one) | {"held": one.held or one is snapshots[0]})) for one in snapshots]
    then = {one.id: one.keep for one in decide(retention, held, NOW, place, gap)}
    assert then == first | {snapshots[0].id: True}


@settings(max_examples=150, deadline=None)
@given(retentions, st.lists(st.integers(1, 3 * 24 * 60), min_size=20, max_size=80), st.sampled_from(PLACES))
def test_as_time_goes_by_only_what_no_rule_keeps_goes(
    retention: Retention, waits: list[int], place: ZoneInfo
) -> None:
    """A policy's life: taken, pruned, taken. Of what the rules keep at any moment nothing had gone before.

    That is why pruning step by step keeps as much as if nothing had ever been pruned.
    """
    try:
        check_retention(retention)
    except Invalid:
        return
    now = NOW
    every: list[Kept] = []
    left: list[Kept] = []
    for number, wait in enumerate(waits, start=1):
        now += wait * MINUTE
        taken = Kept(id=UUID(int=number), created_at=now)
        every.append(taken)
        left.append(taken)
        whole = {one.id for one in decide(retention, every, now, place) if one.keep}
        keeps = {one.id for one in decide(retention, left, now, place) if one.keep}
        assert whole <= keeps
        left = [one for one in left if one.id in keeps]
