"""What may be sent for a policy. What the words mean is checked where it is decided."""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from stillframe.errors import Invalid
from stillframe.operations import Quiesce
from stillframe.policies.durations import duration
from web import policy_examples as examples
from web.examples import shown
from web.wishes import SPAN, Instant, Tags, When, Wish, Words


def _span(value: Any) -> Any:
    """One sentence for what is neither, not one for each that it could have been."""
    if isinstance(value, str) and not re.fullmatch(SPAN, value):
        raise ValueError("it is no length of time; write 15m, 6h, 7d or 2w")
    try:
        duration(value, "it")
    except Invalid as error:
        raise ValueError(error.context["detail"]) from error
    return value


#: 15m, 6h, 7d, 2w, or seconds.
Span = Annotated[
    str | float,
    BeforeValidator(_span),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": SPAN},
                {"type": "number", "exclusiveMinimum": 0, "maximum": 100 * 366 * 86400},
            ]
        }
    ),
    Field(description="A length of time: 15m, 6h, 7d, 2w, or seconds"),
]
Mode = Literal["auto", "hot", "cold", "memory"]
Priority = Literal["normal", "low"]


def _not_none_at_all(value: Any) -> Any:
    if value == 0 and isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("0 would keep none by it; leave it out, or write null, for no such rule")
    return value


Count = Annotated[
    Annotated[int, Field(ge=1, le=100_000)] | None,
    BeforeValidator(_not_none_at_all),
    Field(description="null: no such rule"),
]
Name = Annotated[Words, Field(min_length=1, max_length=255)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Names = Annotated[list[Name], Field(max_length=1000)]


class PolicySelector(Wish):
    """Which VMs, at the moment it fires. Of each kind that is given one has to match, and all kinds have to.

    `names` are patterns with * and ?; `domain` means its whole subtree.
    """

    ids: Names = Field(default_factory=list)
    names: Names = Field(default_factory=list)
    tags: Names = Field(default_factory=list)
    account: Name | None = None
    domain: Name | None = None
    host: Name | None = None


class PolicySchedule(Wish):
    """Either `cron` (five fields, or @hourly, @daily, @weekly, @monthly, @yearly) or `every`, counted from `anchor`."""

    cron: Annotated[Words, Field(max_length=200)] | None = None
    every: Span | None = None
    anchor: Instant | None = None
    timezone: Annotated[Words, Field(max_length=64, description="IANA name, such as Asia/Seoul")] = "UTC"
    start_at: Instant | None = None
    end_at: Instant | None = None
    jitter_s: Annotated[float, Field(ge=0, le=366 * 86400)] = 0
    misfire: Literal["skip", "run_once", "run_all"] = "run_once"
    max_catch_up: Annotated[int, Field(ge=1, le=1000)] = 10
    grace_s: Annotated[float, Field(ge=0, le=366 * 86400)] = 900
    overlap: Literal["skip", "queue"] = "skip"


class PolicyRetention(Wish):
    """What is kept: whatever any rule keeps, less what the caps `max_age` and `max_count` take. Nothing set: all."""

    last: Count = None
    hourly: Count = None
    daily: Count = None
    weekly: Count = None
    monthly: Count = None
    quarterly: Count = None
    yearly: Count = None
    within: Span | None = None
    max_age: Span | None = None
    max_count: Annotated[int, Field(ge=1, le=100_000)] | None = None
    min_keep: Annotated[int, Field(ge=1, le=100_000)] = 1


class PolicyGuards(Wish):
    """When a firing is skipped, or waits for its turn (the two caps)."""

    max_depth: Annotated[int, Field(ge=2, le=200)] = 16
    min_free_bytes: Annotated[int, Field(ge=0, le=2**62)] = 1 << 30
    min_free_percent: Annotated[float, Field(ge=0, le=99)] = 5.0
    skip_while_merging: bool = True
    max_per_host: Annotated[int, Field(ge=1, le=1000)] = 2
    max_per_storage: Annotated[int, Field(ge=1, le=1000)] = 2


class PolicyWindow(Wish):
    """A time of day in which nothing begins, by the clock of the schedule's timezone."""

    begin: Annotated[str, Field(pattern=r"^\d\d:\d\d$")]
    end: Annotated[str, Field(pattern=r"^\d\d:\d\d$")]
    days: Annotated[list[Day], Field(min_length=1)] = Field(default_factory=lambda: list(get_args(Day)))


class PolicyExtract(Wish):
    """Volumes that are made standalone images after each snapshot, and how many of each VM's are kept."""

    targets: Annotated[list[Name], Field(min_length=1, max_length=64)]
    retention: PolicyRetention


class WishPolicy(Wish):
    """A policy. Times of schedules and retention are by the clock of the timezone given."""

    model_config = ConfigDict(json_schema_extra=shown(examples.WISH_POLICY))

    name: Name
    selector: PolicySelector
    schedules: Annotated[list[PolicySchedule], Field(min_length=1, max_length=16)]
    retention: PolicyRetention
    mode: Mode = "auto"
    quiesce: Quiesce = "prefer"
    priority: Priority = "normal"
    guards: PolicyGuards = Field(default_factory=PolicyGuards)
    blackouts: Annotated[list[PolicyWindow], Field(max_length=32)] = Field(default_factory=list)
    extract: PolicyExtract | None = None
    tags: Tags = Field(default_factory=list)
    enabled: bool = True
    paused_until: Instant | None = None
    max_failures: Annotated[int, Field(ge=1, le=1000)] = 4
    start_within_s: Annotated[float, Field(ge=1, le=30 * 86400)] = 3600


class WishPause(Wish):
    """Until when; without it until somebody resumes it."""

    model_config = ConfigDict(json_schema_extra=shown(examples.WISH_PAUSE))

    until: When | None = None


class WishPolicyResume(Wish):
    """Which VM has its turns again; without it the policy, with all VMs that it has set aside."""

    model_config = ConfigDict(json_schema_extra=shown(examples.WISH_RESUME))

    vm: Name | None = None
