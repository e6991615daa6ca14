"""What can be asked: one frozen request object an operation. They travel as JSON in the job's row, never in a message."""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, Self

from stillframe.rights import Right

Quiesce = Literal["require", "prefer", "never"]
After = Literal["keep", "start", "stop"]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A request for one VM. `kind` is the job's kind and, with `stillframe.` before it, its wire name.

    `start_within_s` None means the service's own: not begun by then, the job expires. `timeout_s` is counted from its
    beginning, anew when a person sends it on: over, the job is asked to stop as by a cancel, and fails.
    """

    kind: ClassVar[str]
    #: What it takes to ask for it.
    right: ClassVar[Right]
    #: What both may be at least and at most.
    SHORTEST_S: ClassVar[float] = 1.0
    LONGEST_S: ClassVar[float] = 30 * 86400.0
    start_within_s: float | None = None
    timeout_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The request as plain JSON values, for the job's row."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The request back from the job's row; fields that this version does not know are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


@dataclass(frozen=True, kw_only=True)
class CreateSnapshot(Operation):
    """Keep a VM as it is at one instant.

    `type` None means what fits the VM's state at the time of asking: hot when it runs, cold when it is off.
    `name` None means one is made from the time. `expires_at` is ISO 8601, or a length of time from then on: `7d`.
    """

    kind: ClassVar[str] = "create_snapshot"
    right: ClassVar[Right] = Right.CREATE
    vm: str
    type: Literal["cold", "hot", "memory"] | None = None
    name: str | None = None
    display_name: str | None = None
    description: str = ""
    quiesce: Quiesce = "prefer"
    tags: tuple[str, ...] = ()
    expires_at: str | None = None
    #: The policy that asks, whose retention it falls under.
    policy_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class RevertSnapshot(Operation):
    """Bring a VM back to a snapshot. `after` says what a hot or cold revert does with a VM that runs or not."""

    kind: ClassVar[str] = "revert_snapshot"
    right: ClassVar[Right] = Right.REVERT
    snapshot_id: str
    after: After = "keep"


@dataclass(frozen=True, kw_only=True)
class DeleteSnapshot(Operation):
    """Forget a snapshot and give back the space of what nothing else needs."""

    kind: ClassVar[str] = "delete_snapshot"
    right: ClassVar[Right] = Right.DELETE
    snapshot_id: str


@dataclass(frozen=True, kw_only=True)
class PruneSnapshots(Operation):
    """Forget several snapshots of one VM at once: layers between them that nothing else needs become one merge.

    `policy_id` is the policy that asks, if one does: what it keeps by the time the job begins is spared.
    """

    kind: ClassVar[str] = "prune_snapshots"
    right: ClassVar[Right] = Right.DELETE
    snapshot_ids: tuple[str, ...]
    policy_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExtractVolume(Operation):
    """Make a standalone image (a VolumeSnapshot) of one volume out of a snapshot."""

    kind: ClassVar[str] = "extract_volume"
    right: ClassVar[Right] = Right.EXTRACT
    snapshot_id: str
    target: str
    name: str | None = None
    #: The policy that asks, whose retention the image falls under.
    policy_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeleteVolume(Operation):
    """Remove the image of a VolumeSnapshot; its snapshot and its VM, if they are still there, stay as they are."""

    kind: ClassVar[str] = "delete_volume"
    right: ClassVar[Right] = Right.DELETE
    volume_snapshot_id: str


OPERATIONS: dict[str, type[Operation]] = {
    operation.kind: operation
    for operation in (
        CreateSnapshot,
        RevertSnapshot,
        DeleteSnapshot,
        PruneSnapshots,
        ExtractVolume,
        DeleteVolume,
    )
}
#: The kinds of jobs that delete what they are about.
DELETIONS = frozenset({DeleteSnapshot.kind, PruneSnapshots.kind})
