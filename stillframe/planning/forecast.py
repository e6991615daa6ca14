"""What a plan says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from stillframe.errors import StillframeError
from stillframe.operations import Operation
from stillframe.planning.known import VmKnown

#: When a request would be refused: as soon as it is made, or by the worker when it looks at the VM itself.
When = Literal["request", "job"]


@dataclass(frozen=True)
class Place:
    """Storage that something will be written to; bytes. `free` None if it is not known."""

    where: str
    free: int | None
    needed: int
    what: str


@dataclass(frozen=True)
class Bytes:
    """`needed` at most on all places together; `freed` are those of files that go; `moved` are copied."""

    needed: int = 0
    freed: int = 0
    moved: int = 0
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Pause:
    """How the VM will stand still. `expected_ms`: from, to; None if that cannot be told."""

    kind: Literal["none", "pause", "power_off"]
    why: str
    expected_ms: tuple[int, int] | None = None


@dataclass(frozen=True)
class Consequence:
    """What will be so afterwards, and was not."""

    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What an operation would do. Nothing was written or touched to know it."""

    operation: Operation
    vm: UUID
    vm_name: str
    host: str
    seen_at: datetime
    refusals: tuple[tuple[When, StillframeError], ...]
    warnings: tuple[StillframeError, ...]
    steps: tuple[tuple[str, str], ...]
    bytes: Bytes
    pause: Pause
    consequences: tuple[Consequence, ...]

    @property
    def allowed(self) -> bool:
        """Whether nothing is known that would refuse it."""
        return not self.refusals

    def to_json(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "kind": self.operation.kind,
            "vm": {"id": self.vm, "name": self.vm_name},
            "host": self.host,
            "seen_at": self.seen_at,
            "allowed": self.allowed,
            "refusals": [{"when": when, **error.to_json()} for when, error in self.refusals],
            "warnings": [warning.to_json() for warning in self.warnings],
            "steps": [{"name": name, "words": words} for name, words in self.steps],
            "bytes": asdict(self.bytes),
            "pause": asdict(self.pause),
            "consequences": [asdict(one) for one in self.consequences],
            "request": self.operation.to_json(),
        }


@dataclass
class Draft:
    """A forecast that is being made."""

    vm: VmKnown
    refusals: list[tuple[When, StillframeError]] = field(default_factory=list)
    warnings: list[StillframeError] = field(default_factory=list)
    consequences: list[Consequence] = field(default_factory=list)

    @contextmanager
    def refused(self, when: When) -> Iterator[None]:
        """What a check within the block raises is a refusal of the plan."""
        try:
            yield
        except StillframeError as refusal:
            self.refusals.append((when, refusal))

    def check(self, when: When, check: Callable[[], object]) -> None:
        """Notes what the check raises."""
        with self.refused(when):
            check()

    def warn(self, warning: StillframeError) -> None:
        """Notes a warning."""
        self.warnings.append(warning)

    def tell(self, code: str, detail: str) -> None:
        """Notes a consequence."""
        self.consequences.append(Consequence(code, detail))

    def done(
        self, operation: Operation, steps: Iterator[tuple[str, str]], bytes_: Bytes, pause: Pause
    ) -> Forecast:
        """The forecast."""
        return Forecast(
            operation=operation,
            vm=self.vm.id,
            vm_name=self.vm.name,
            host=self.vm.host,
            seen_at=self.vm.seen_at,
            refusals=tuple(self.refusals),
            warnings=tuple(self.warnings),
            steps=tuple(steps),
            bytes=bytes_,
            pause=pause,
            consequences=tuple(self.consequences),
        )
