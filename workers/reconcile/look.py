"""One look at one VM: the machine, the rows, and what the two say when they are asked once."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from uuid import UUID

from hypervisor.port import Host, Images, Vm, VmFacts
from models.snapshots.remembered import JobKnown, Rows, SnapshotKnown
from stillframe.errors import LayerHalfMerged, StillframeError, VmDrifted
from stillframe.findings import REMEDY, Finding, Kind, Repair
from stillframe.layers import Tree
from stillframe.names import is_in_home
from stillframe.states import JobState, SnapshotState
from workers import manifests
from workers.manifests import Manifest
from workers.reading import Reader, check_heads
from workers.watch_folder import WatchFolder

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: A layer of a job that ended so never became the VM's own, or was given back.
CAME_TO_NOTHING = frozenset({JobState.FAILED, JobState.CANCELLED})

#: Puts a finding right and says what was done; raises an error of `stillframe.errors` or OSError.
Act = Callable[[], str]


@dataclass(frozen=True)
class Found:
    """A finding, and what puts it right on the machine, if anything there does."""

    finding: Finding
    act: Act | None = None


@dataclass(frozen=True)
class Look:
    """All that the examiners may ask. The caller holds the VM's lock, and no job of it is in a worker's hands."""

    host: Host
    facts: VmFacts
    rows: Rows
    block_layers_folder: str
    #: Whether the guest's filesystems are frozen; None if it does not say.
    frozen: bool | None = None
    #: Where freezes and pauses are on record.
    watch: WatchFolder | None = None

    @cached_property
    def vm(self) -> Vm:
        """The VM."""
        return self.host.vm(self.facts.uuid)

    @property
    def images(self) -> Images:
        """The host's files."""
        return self.host.images

    @cached_property
    def homes(self) -> tuple[str, ...]:
        """The folders of its layers and snapshots."""
        return tuple(Reader(self.images, self.block_layers_folder, {}).homes(self.facts))

    @cached_property
    def in_homes(self) -> tuple[str, ...]:
        """All that lies in them."""
        return tuple(path for home in self.homes for path in self.images.listing(home))

    @cached_property
    def unfinished(self) -> Mapping[UUID, JobKnown]:
        """Its jobs that have not ended: what is theirs is for them to put right."""
        return self.rows.unfinished()

    @cached_property
    def busy(self) -> frozenset[UUID]:
        """The ids of these jobs, and of the snapshots and volume snapshots that they are about."""
        return frozenset(self.unfinished).union(*(job.about for job in self.unfinished.values()))

    @cached_property
    def manifests(self) -> Mapping[UUID, Manifest]:
        """Its snapshots on the host. Raises HypervisorFailed if one cannot be understood."""
        rows = self.rows.snapshots(()).values()
        folders = [row.folder for row in rows if row.folder]
        found = manifests.find(self.images, self.homes, folders)
        return {one.id: one for one in found if one.vm == self.facts.uuid}

    @cached_property
    def snapshots(self) -> Mapping[UUID, SnapshotKnown]:
        """What the rows know of its snapshots, and of those that lie on the host."""
        seen = {id_ for path in self.in_homes if path.endswith(".snapshot") and (id_ := id_in(path))}
        return self.rows.snapshots(seen | set(self.manifests))

    @cached_property
    def lost(self) -> tuple[UUID, ...]:
        """The snapshots that are whole by their rows, and of which the host has no manifest."""
        return tuple(
            id_
            for id_, row in self.snapshots.items()
            if row.state is SnapshotState.READY and id_ not in self.manifests and id_ not in self.busy
        )

    @cached_property
    def tree(self) -> Tree:
        """Its layers. Raises HypervisorFailed if a chain has a hole."""
        known = {one.id: one.folder for one in self.manifests.values()}
        return Reader(self.images, self.block_layers_folder, known).tree(self.facts)

    @cached_property
    def came_to_nothing(self) -> frozenset[str]:
        """Layers of jobs that failed, at the top of their line and with nothing of their own: no data is lost with them.

        A layer that somebody put aside is not among them: the head of a job that succeeded was the VM's own, and data in
        a layer may be a guest's.
        """
        tree = self.tree
        jobs = {
            path: job
            for path in tree.layers
            if (job := id_in(path)) and is_in_home(path, self.facts.uuid) and path not in tree.pinned
            if tree.is_idle(path) and not tree.children(path)
        }
        states = self.rows.job_states(set(jobs.values()))
        over = [path for path, job in jobs.items() if states.get(job) in CAME_TO_NOTHING]
        return frozenset(path for path in over if self.images.is_empty(path))

    @cached_property
    def drift(self) -> StillframeError | None:
        """Why its heads are not where they should be, if so. What unfinished and failed jobs have put on them is theirs."""
        ours = {path for path in self.tree.layers if id_in(path) in self.busy and self.tree.is_idle(path)}
        left_out = ours | self.came_to_nothing
        layers = {path: layer for path, layer in self.tree.layers.items() if path not in left_out}
        lost = {id_ for id_, row in self.snapshots.items() if row.state is SnapshotState.ERROR}
        try:
            check_heads(replace(self.tree.without(*lost), layers=layers), self.facts)
        except (VmDrifted, LayerHalfMerged) as error:
            return error
        return None

    def found(
        self,
        kind: Kind,
        subject: object,
        detail: str,
        *,
        size: int = 0,
        repair: Repair = Repair.NONE,
        act: Act | None = None,
        remedy: str | None = None,
    ) -> Found:
        """A finding about this VM."""
        finding = Finding(
            kind=kind,
            vm=self.facts.name,
            vm_id=str(self.facts.uuid),
            subject=str(subject),
            detail=detail,
            remedy=REMEDY[kind] if remedy is None else remedy,
            bytes=size,
            repair=repair,
        )
        return Found(finding, act)


def id_in(path: str) -> UUID | None:
    """The id that the name of a file of ours is made of."""
    found = _ID.search(path.rsplit("/", 1)[-1])
    return UUID(found[0]) if found else None


def json_in(images: Images, path: str) -> dict[str, Any]:
    """What a small file of ours says; nothing if it cannot be understood."""
    try:
        said = json.loads(images.read_text(path) or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def remove(images: Images, path: str) -> Act:
    """Removes a file or a folder of ours."""

    def act() -> str:
        images.remove(path)
        return "removed"

    return act


def words(error: StillframeError | OSError) -> str:
    """What an error says."""
    return error.detail if isinstance(error, StillframeError) else str(error)


def bytes_in(images: Images, paths: Collection[str]) -> int:
    """What these files take."""
    return sum(images.size_bytes(path) for path in paths)
