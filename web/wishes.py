"""What may be sent: bodies and parameters. What the words mean (names, states) is checked where it is decided."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from fastapi import Header, Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from models.queries.paging import Wanted
from stillframe.errors import Invalid
from stillframe.names import check_display_name
from stillframe.operations import After, Operation, Quiesce
from stillframe.policies.durations import duration, in_words
from stillframe.recovering import Way
from web import examples
from web.typed import check_type, instant, kinds

MAX_WAIT_S = 60.0
#: How a length of time is written.
SPAN = "^[0-9]{1,9}[smhdw]$"
_WAIT = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)s?")


def _text(value: str) -> str:
    """Postgres keeps no NUL, and UTF-8 no half of a pair."""
    if any(letter == "\0" or unicodedata.category(letter) == "Cs" for letter in value):
        raise ValueError("it has a character that cannot be kept")
    return value


def _utc(value: datetime) -> datetime:
    """A time without a zone is UTC."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise ValueError("it is out of range") from error


def _span(value: str) -> timedelta:
    try:
        return duration(value, "it")
    except Invalid as error:
        raise ValueError(error.context["detail"]) from error


def _when(value: Any) -> datetime | timedelta:
    """One sentence for what is neither, not one for each that it could have been."""
    try:
        if isinstance(value, str) and re.fullmatch(SPAN, value):
            return _span(value)
        return _INSTANT.validate_python(value)
    except ValidationError as error:
        raise ValueError(
            "it is neither a time as ISO 8601, such as 2030-01-31T12:00:00Z, nor so long from now, such as 7d"
        ) from error


def _seconds(value: str) -> str:
    if not _WAIT.fullmatch(value):
        raise ValueError("it is written 30s or 2.5s")
    return value


def _unquoted(key: str) -> str:
    """A key may be written as a string of RFC 8941, in quotes, or bare."""
    return key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key


Words = Annotated[str, AfterValidator(_text)]
Instant = Annotated[datetime, BeforeValidator(instant), AfterValidator(_utc)]
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)
When = Annotated[
    datetime | timedelta,
    BeforeValidator(_when),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": SPAN}]}
    ),
    Field(description="ISO 8601, or so long from now: 12h, 7d, 2w"),
]
Tag = Annotated[Words, Field(min_length=1, max_length=64)]
Tags = Annotated[list[Tag], Field(max_length=32)]
Description = Annotated[Words, Field(max_length=4096)]
Filter = Annotated[Words | None, Query(max_length=255)]
DomainFilter = Annotated[Filter, Query(description="A domain's path: its whole subtree")]
VmPath = Annotated[str, Path(description="A VM's name or id", examples=["web1"])]
SnapshotPath = Annotated[str, Path(description="A snapshot's id")]
VolumePath = Annotated[str, Path(description="A volume snapshot's id")]
JobPath = Annotated[str, Path(description="A job's id")]
Wait = Annotated[
    Annotated[str, AfterValidator(_seconds)] | None,
    Query(
        description=f"Answer once the job has ended or so much time is over: 30s (at most {MAX_WAIT_S:.0f}s)",
        json_schema_extra={"pattern": f"^{_WAIT.pattern}$"},
        examples=["30s"],
    ),
]
IdempotencyKey = Annotated[
    Annotated[str, AfterValidator(_unquoted)] | None,
    Header(
        description="Asking twice with one key asks once: the second answer is that of the first. It is known for 24 hours "
        "at least. Quotes may stand around it.",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        examples=["nightly-2026-11-23"],
    ),
]
EventAfter = Annotated[
    int | None, Query(ge=0, le=2**63 - 1, description="An event's id: what came after it, oldest first")
]
_SECONDS = Field(ge=Operation.SHORTEST_S, le=Operation.LONGEST_S, allow_inf_nan=False)
StartWithin = Annotated[
    Annotated[float, _SECONDS] | None,
    Field(description="Not begun within so many seconds, the job expires; at most 30 days"),
]
Timeout = Annotated[
    Annotated[float, _SECONDS] | None,
    Field(description="Not ended within so many seconds of its beginning, it is stopped as by a cancel"),
]
IfMatch = Annotated[
    str | None,
    Header(max_length=1000, description="The ETag that was read: change it only if it is still so"),
]


class Wish(BaseModel):
    """What all bodies share: a field nobody knows is an error, not a surprise later."""

    model_config = ConfigDict(extra="forbid")
    #: In JSON `"5"` is no number and `true` no 1; an address knows words only.
    typed: ClassVar[bool] = True

    @field_validator("*", mode="before")
    @classmethod
    def _as_json_has_it(cls, value: Any, info: ValidationInfo) -> Any:
        if cls.typed and value is not None:
            check_type(value, kinds(cls, str(info.field_name)))
        return value

    def given(self) -> dict[str, Any]:
        """The fields that were sent."""
        return self.model_dump(exclude_unset=True)


class WishJob(Wish):
    """What can be said of any job. Nothing means the service's own `start_within_s`, and as long as it takes."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_JOB))

    start_within_s: StartWithin = None
    timeout_s: Timeout = None

    def limits(self) -> dict[str, float | None]:
        """For the operation."""
        return {"start_within_s": self.start_within_s, "timeout_s": self.timeout_s}


class WishSnapshot(WishJob):
    """A snapshot to be taken. Without a type it becomes hot or cold, as the VM runs or not."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_SNAPSHOT))

    type: Literal["cold", "hot", "memory"] | None = None
    name: str | None = None
    display_name: str | None = None
    description: Description = ""
    quiesce: Quiesce = "prefer"
    tags: Tags = Field(default_factory=list)
    expires_at: When | None = None


class AskedJob(WishJob):
    """The same, in an address."""

    typed: ClassVar[bool] = False


class WishRevert(WishJob):
    """`after` says whether the VM is to run after a revert to a hot or cold snapshot."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_REVERT))

    after: After = "keep"


class WishRecovery(Wish):
    """What is to become of a stuck job."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_RECOVERY))

    action: Way
    note: Annotated[Words, Field(max_length=4096)] = ""


class WishVolume(WishJob):
    """A volume to be extracted."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_VOLUME))

    target: Annotated[Words, Field(max_length=255)]
    name: str | None = None


class WishWords(Wish):
    """New words for a snapshot; what is left out stays."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_WORDS))

    name: str = ""
    display_name: Annotated[str, AfterValidator(check_display_name)] = ""
    description: Description = ""
    tags: Tags = Field(default_factory=list)
    expires_at: When | None = None


class WishTags(Wish):
    """`tags` takes the place of all there are; then some are added, and some taken away."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_TAGS))

    tags: Tags | None = None
    add_tags: Tags = Field(default_factory=list)
    remove_tags: Tags = Field(default_factory=list)


class WishComment(Wish):
    """A comment."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_COMMENT))

    text: Annotated[Words, Field(min_length=1, max_length=10_000)]


class WishHold(Wish):
    """Why a snapshot is to stay, and until when; without `until` until it is released."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_HOLD))

    reason: Annotated[Words, Field(min_length=1, max_length=1000)]
    until: When | None = None


class WishRescan(Wish):
    """What a look at a host may change. With neither it changes nothing."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_RESCAN))

    vm: Annotated[Words, Field(max_length=255)] | None = None
    adopt: bool = False
    repair: bool = False


class WishDrain(Wish):
    """Why a host is to take no new jobs."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.WISH_DRAIN))

    reason: Annotated[Words, Field(max_length=1000)] = ""


def wanted(
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="`next_cursor` of the page before")
    ] = None,
    count: Annotated[bool, Query(description="Also say how many there are, up to a thousand")] = False,
) -> Wanted:
    """The part of a list that is asked for."""
    return Wanted(limit=limit, cursor=cursor, count=count)


def as_text(when: datetime | timedelta | None) -> str | None:
    """A time, or a length of time, as an operation has it."""
    if when is None:
        return None
    return in_words(when) if isinstance(when, timedelta) else when.isoformat()


def wait_s(text: str | None) -> float:
    """Seconds of a `wait`, at most MAX_WAIT_S."""
    return min(MAX_WAIT_S, float(text.rstrip("s"))) if text else 0.0
