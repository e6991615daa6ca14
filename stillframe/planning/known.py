"""What a plan is made from: what the rows know of a VM and of a snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from stillframe.errors import HostDraining
from stillframe.layers import Tree
from stillframe.rules import SnapshotFacts
from stillframe.seen import Traits, VolumeSeen
from stillframe.states import VmState


@dataclass(frozen=True)
class Limits:
    """How many images a volume may be read through: from `chain_warn` on a plan warns, from `chain_limit` on a new
    snapshot is refused.
    """

    chain_warn: int = 8
    chain_limit: int = 24


@dataclass(frozen=True, kw_only=True)
class VmKnown:
    """A VM as it was seen at `seen_at`."""

    id: UUID
    name: str
    state: VmState
    host: str
    memory_bytes: int
    seen_at: datetime
    traits: Traits
    volumes: tuple[VolumeSeen, ...]
    #: Without what the host would pin: only the worker knows who else needs a layer.
    tree: Tree
    #: Names of its snapshots that are there.
    names: Mapping[UUID, str] = field(default_factory=dict)
    #: Milliseconds that it stood still for memory snapshots and was frozen for hot ones, as far as they were measured.
    pauses_ms: tuple[float, ...] = ()
    freezes_ms: tuple[float, ...] = ()
    #: Jobs of this VM that go first.
    ahead: int = 0
    #: Whether its host was heard of lately.
    host_is_alive: bool = True
    #: Why its host takes no jobs, if it takes none.
    drained: HostDraining | None = None

    @property
    def usable(self) -> tuple[VolumeSeen, ...]:
        """The volumes that snapshots hold."""
        return tuple(volume for volume in self.volumes if volume.why_not is None)


@dataclass(frozen=True, kw_only=True)
class SnapshotKnown:
    """A snapshot of that VM."""

    id: UUID
    facts: SnapshotFacts
    #: The layer it froze of each volume, and the sizes of these volumes then.
    layers: Mapping[str, str]
    virtual_bytes: Mapping[str, int]
    #: What its RAM takes on the disk; 0 if it holds none.
    memory_bytes: int = 0
    #: Whether another tool made it.
    foreign: bool = False
    #: Whether anything of it lies on the host: of one whose creation failed nothing does.
    has_files: bool = True
