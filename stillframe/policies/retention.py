"""What a policy keeps of its own snapshots of one VM, and why: the code that shows it beforehand is the code that prunes.

A snapshot is kept if any rule keeps it. `max_age` and `max_count` are caps on top: what exceeds them goes although a
rule would keep it, and the verdict says so. Nothing at all is set: everything is kept.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from stillframe.errors import Invalid
from stillframe.policies.durations import in_words

#: A period counts by the newest snapshot in it; periods without one do not count, so an outage eats no history.
PERIODS: dict[str, Callable[[datetime], str]] = {
    # With its offset: an hour that the wall clock shows twice is two hours.
    "hourly": lambda at: at.strftime("%Y-%m-%d %H:00 %z"),
    "daily": lambda at: at.strftime("%Y-%m-%d"),
    "weekly": lambda at: at.strftime("%G-W%V"),
    "monthly": lambda at: at.strftime("%Y-%m"),
    "quarterly": lambda at: f"{at.year}-Q{(at.month + 2) // 3}",
    "yearly": lambda at: at.strftime("%Y"),
}
#: The rules that count.
COUNTS = ("last", *PERIODS)
_BEGINS: dict[str, Callable[[datetime], datetime]] = {
    "hourly": lambda at: at,
    "daily": lambda at: at.replace(hour=0),
    "weekly": lambda at: at.replace(hour=0) - timedelta(days=at.weekday()),
    "monthly": lambda at: at.replace(hour=0, day=1),
    "quarterly": lambda at: at.replace(hour=0, day=1, month=at.month - (at.month - 1) % 3),
    "yearly": lambda at: at.replace(hour=0, day=1, month=1),
}
#: About how long one period is: a cap on age below what the rules promise is a contradiction.
_LENGTHS = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
    "quarterly": timedelta(days=92),
    "yearly": timedelta(days=366),
}
#: An outage is when the newest good snapshot is older than so many of the schedule's usual gaps.
_GAPS_OF_AN_OUTAGE = 2


def begin_of(name: str, at: datetime) -> datetime:
    """When the period begins that a moment of a place's wall clock lies in."""
    return _BEGINS[name](at.replace(minute=0, second=0, microsecond=0)).astimezone(UTC)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Counts (0: no such rule), lengths of time (None: no such rule), and `min_keep`, which stands above the caps."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    quarterly: int = 0
    yearly: int = 0
    #: Everything younger than this.
    within: timedelta | None = None
    max_age: timedelta | None = None
    max_count: int | None = None
    min_keep: int = 1

    @property
    def has_rules(self) -> bool:
        """Whether any rule says what to keep; caps alone say only what goes."""
        return bool(self.last or self.within or any(getattr(self, name) for name in PERIODS))

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is ever pruned."""
        return not (self.has_rules or self.max_age or self.max_count)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What retention has to know of one snapshot. `good`: it is whole, and can be reverted to."""

    id: UUID
    created_at: datetime
    good: bool = True
    #: It came to nothing, and never will be good.
    failed: bool = False
    held: bool = False
    #: What uses it at the moment (a revert, an extract), in words.
    in_use: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a snapshot stays, with every reason: for staying, or for going."""

    id: UUID
    created_at: datetime
    keep: bool
    reasons: tuple[str, ...]


@dataclass
class _Case:
    one: Kept
    #: Reasons that no cap overrules.
    protected: list[str] = field(default_factory=list)
    #: What the rules say.
    kept: list[str] = field(default_factory=list)
    #: What the caps say.
    over: list[str] = field(default_factory=list)

    def verdict(self) -> Verdict:
        if self.protected or (self.kept and not self.over):
            return Verdict(self.one.id, self.one.created_at, True, (*self.protected, *self.kept))
        would = (f"although {reason} would keep it" for reason in self.kept)
        reasons = (*self.over, *would) if self.over else ("no rule keeps it",)
        return Verdict(self.one.id, self.one.created_at, False, reasons)


def decide(
    retention: Retention,
    snapshots: Iterable[Kept],
    now: datetime,
    zone: ZoneInfo,
    usual_gap: timedelta | None = None,
) -> list[Verdict]:
    """A verdict on each of one policy's snapshots of one VM, newest first.

    `usual_gap` is the schedule's: after an outage of more than two of them, whatever goes by age waits until there is
    a new good snapshot. One that is not good counts for no rule; one that failed goes once there is a newer good one.
    """
    cases = [_Case(one) for one in sorted(snapshots, key=lambda one: (one.created_at, one.id), reverse=True)]
    good = [case for case in cases if case.one.good and case.one.created_at <= now]
    for case in cases:
        _protect(case, now)
        if case.one.failed:
            _clean(case, good)
    for number, case in enumerate(good[: max(retention.min_keep, 1)]):
        case.protected.append("the last good one" if number == 0 else f"min_keep {retention.min_keep}")
    _apply_rules(retention, good, zone)
    outage = _outage(good, now, usual_gap)
    _apply_ages(retention, good, now, outage)
    if retention.max_count is not None:
        for case in good[retention.max_count :]:
            case.over.append(f"over max_count {retention.max_count}")
    return [case.verdict() for case in cases]


def next_look(retention: Retention, snapshots: Iterable[Kept], now: datetime) -> datetime | None:
    """When time alone may have let another one go; None if it takes an event, such as a new snapshot."""
    lengths = [length for length in (retention.within, retention.max_age) if length is not None]
    turns = [one.created_at + length for one in snapshots for length in (timedelta(0), *lengths)]
    after = [turn + timedelta(microseconds=1) for turn in turns]
    return min((turn for turn in after if turn > now), default=None)


def _clean(case: _Case, good: Sequence[_Case]) -> None:
    if any(other.one.created_at > case.one.created_at for other in good):
        case.over.append("it failed, and a newer one is good")
    else:
        case.protected.append("it failed, and no newer one is good yet")


def _protect(case: _Case, now: datetime) -> None:
    if not case.one.good and not case.one.failed:
        case.protected.append("it is not ready: rules do not count it")
    if case.one.held:
        case.protected.append("held")
    if case.one.in_use:
        case.protected.append(f"in use: {case.one.in_use}")
    if case.one.created_at > now:
        case.protected.append("dated in the future")


def _apply_rules(retention: Retention, good: Sequence[_Case], zone: ZoneInfo) -> None:
    if not retention.has_rules:
        for case in good:
            case.kept.append("no rule says what to keep")
    for number, case in enumerate(good[: retention.last], start=1):
        case.kept.append(f"last {number} of {retention.last}")
    for name, period_of in PERIODS.items():
        wanted, seen = getattr(retention, name), set[str]()
        for case in good:
            period = period_of(case.one.created_at.astimezone(zone))
            if len(seen) < wanted and period not in seen:
                seen.add(period)
                case.kept.append(f"{name} {period}")


def _apply_ages(retention: Retention, good: Sequence[_Case], now: datetime, outage: str | None) -> None:
    for case in good:
        age = now - case.one.created_at
        if retention.within is not None:
            if age <= retention.within:
                case.kept.append(f"within {in_words(retention.within)}")
            elif outage:
                case.kept.append(outage)
        if retention.max_age is not None and age > retention.max_age:
            if outage:
                case.kept.append(outage)
            else:
                case.over.append(f"older than max_age {in_words(retention.max_age)}")


def _outage(good: Sequence[_Case], now: datetime, usual_gap: timedelta | None) -> str | None:
    if usual_gap is None or not good:
        return None
    age = now - good[0].one.created_at
    if age <= _GAPS_OF_AN_OUTAGE * usual_gap:
        return None
    return f"nothing goes by age: the newest good one is from {good[0].one.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def check_retention(retention: Retention) -> None:
    """Raises Invalid for counts below zero, and for caps that take away what the rules promise."""
    for one in fields(retention):
        value = getattr(retention, one.name)
        least = 1 if one.name == "min_keep" else 0
        if isinstance(value, int) and not least <= value <= 100_000:
            raise Invalid(detail=f"retention `{one.name}` is {value}; it may be 1 to 100000")
    if retention.max_count is not None:
        _check_count(retention, retention.max_count)
    if retention.max_age is not None:
        _check_age(retention, retention.max_age)


def _check_count(retention: Retention, most: int) -> None:
    if most < 1:
        raise Invalid(
            detail="retention `max_count` is 0: it would keep nothing; leave it out, or pause the policy"
        )
    for name in ("last", *PERIODS, "min_keep"):
        if getattr(retention, name) > most:
            raise Invalid(
                detail=f"retention contradicts itself: `{name}` keeps {getattr(retention, name)}, "
                f"and `max_count` allows {most}"
            )


def _check_age(retention: Retention, most: timedelta) -> None:
    if retention.within is not None and retention.within > most:
        raise Invalid(detail="retention contradicts itself: `within` is longer than `max_age`")
    for name, length in _LENGTHS.items():
        # The last of n periods begins n - 1 lengths ago at the latest.
        if (count := getattr(retention, name)) and (count - 1) * length > most:
            raise Invalid(
                detail=f"retention contradicts itself: `{name}` keeps {count}, which reach back further than "
                f"`max_age` {in_words(most)} allows"
            )
