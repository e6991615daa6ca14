"""What a plan is made from: a VM and a snapshot as the rows know them. Reads only, and locks nothing."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.hosts.drain import check_takes_jobs
from models.hosts.tables import Host
from models.jobs.tables import UNFINISHED, Job
from models.snapshots.tables import NAMELESS, Snapshot, SnapshotLayer, VolumeSnapshot
from models.vms.tables import Layer as LayerRow
from models.vms.tables import Vm, Volume
from stillframe.errors import HostDraining
from stillframe.layers import Layer, Tree
from stillframe.planning import SnapshotKnown, VmKnown
from stillframe.rules import SnapshotFacts
from stillframe.seen import Traits, VolumeSeen
from stillframe.states import SnapshotOrigin, SnapshotState, SnapshotType, VmState, VolumeSnapshotState

#: A snapshot in one of these freezes its layers.
_HOLDING = (SnapshotState.READY, SnapshotState.REVERTING)
#: So many pauses and freezes tell what the next will be like.
_LATEST = 5


def vm_known(
    session: Session, vm: Vm, fresh: timedelta, *, on: UUID | None = None, holding: Collection[UUID] = ()
) -> VmKnown:
    """All that is known of a VM. `on` is the host that is asked, if that is not the VM's.

    `holding` are snapshots whose layers count as frozen whatever their state is.
    """
    asked = on or vm.host_id
    host, alive = session.execute(
        select(Host.name, Host.last_seen_at > func.now() - fresh).where(Host.id == asked)
    ).one()
    volumes = tuple(
        _volume(row)
        for row in session.scalars(select(Volume).where(Volume.vm_id == vm.id).order_by(Volume.target))
    )
    snapshots = list(
        session.scalars(
            select(Snapshot)
            .where(
                Snapshot.vm_id == vm.id,
                Snapshot.state != SnapshotState.DELETED,
                Snapshot.origin == SnapshotOrigin.STILLFRAME,
            )
            .order_by(Snapshot.created_at.desc())
        )
    )
    there = {one.id: one for one in snapshots if one.state in _HOLDING or one.id in holding}
    return VmKnown(
        id=vm.id,
        name=vm.name,
        state=VmState.GONE if vm.gone else vm.state,
        host=host,
        memory_bytes=vm.memory_bytes,
        seen_at=vm.seen_at,
        traits=Traits.from_json(vm.traits),
        volumes=volumes,
        tree=_tree(session, vm.id, there),
        names={id_: one.name for id_, one in there.items()},
        pauses_ms=_measured(snapshots, SnapshotType.MEMORY),
        freezes_ms=_measured(snapshots, SnapshotType.HOT),
        ahead=session.scalars(
            select(func.count()).where(Job.vm_id == vm.id, Job.state.in_(sorted(UNFINISHED)))
        ).one(),
        host_is_alive=alive,
        drained=_drained(session, asked),
    )


def _drained(session: Session, host: UUID) -> HostDraining | None:
    try:
        check_takes_jobs(session, host)
    except HostDraining as refusal:
        return refusal
    return None


def depths_of(session: Session, vm: UUID) -> dict[str, int]:
    """By target, the images that each volume a snapshot would hold is read through."""
    rows = session.execute(
        select(Volume.target, Volume.depth).where(Volume.vm_id == vm, Volume.why_not.is_(None))
    )
    return {row.target: row.depth for row in rows}


def snapshot_known(session: Session, snapshot: Snapshot, facts: SnapshotFacts) -> SnapshotKnown:
    """What is known of a snapshot; `facts` are what the rules want."""
    rows = list(session.scalars(select(SnapshotLayer).where(SnapshotLayer.snapshot_id == snapshot.id)))
    return SnapshotKnown(
        id=snapshot.id,
        facts=facts,
        layers={row.target: row.path for row in rows},
        virtual_bytes={row.target: row.virtual_bytes for row in rows},
        memory_bytes=snapshot.memory_bytes or 0,
        foreign=snapshot.origin is SnapshotOrigin.FOREIGN,
        has_files=snapshot.folder is not None or bool(rows),
    )


def is_snapshot_name_taken(session: Session, vm: UUID, name: str | None) -> bool:
    """Whether another snapshot of this VM has the name."""
    taken = select(Snapshot.id).where(
        Snapshot.vm_id == vm,
        Snapshot.name == name,
        Snapshot.state.not_in(sorted(NAMELESS)),
        Snapshot.origin == SnapshotOrigin.STILLFRAME,
    )
    return name is not None and session.scalars(taken.limit(1)).first() is not None


def is_volume_name_taken(session: Session, account: UUID, name: str | None) -> bool:
    """Whether another volume snapshot of this account has the name."""
    taken = select(VolumeSnapshot.id).where(
        VolumeSnapshot.account_id == account,
        VolumeSnapshot.name == name,
        VolumeSnapshot.state.not_in((VolumeSnapshotState.DELETED, VolumeSnapshotState.ERROR)),
    )
    return name is not None and session.scalars(taken.limit(1)).first() is not None


def _volume(row: Volume) -> VolumeSeen:
    return VolumeSeen(
        target=row.target,
        path=row.path,
        format=row.format,
        storage=row.storage,
        virtual_bytes=row.virtual_bytes,
        size_bytes=row.size_bytes,
        why_not=row.why_not,
        depth=row.depth,
        home=row.home,
        free_bytes=row.free_bytes,
    )


def _tree(session: Session, vm: UUID, there: Mapping[UUID, Snapshot]) -> Tree:
    """The layers as they were last seen, and what the snapshots that are there froze of them."""
    rows = list(session.scalars(select(LayerRow).where(LayerRow.vm_id == vm)))
    frozen: dict[UUID, dict[str, str]] = {}
    for one in session.scalars(select(SnapshotLayer).where(SnapshotLayer.snapshot_id.in_(there.keys()))):
        frozen.setdefault(one.snapshot_id, {})[one.target] = one.path
    return Tree(
        layers={
            row.path: Layer(row.path, row.target, row.format, row.backing, row.virtual_bytes, row.size_bytes)
            for row in rows
        },
        heads={row.target: row.path for row in rows if row.is_head},
        frozen=frozen,
    )


def _measured(snapshots: list[Snapshot], type_: SnapshotType) -> tuple[float, ...]:
    """How long the VM stood still, or was frozen, for its latest snapshots of a type."""
    of_type = [one for one in snapshots if one.type is type_]
    found = [one.pause_ms if type_ is SnapshotType.MEMORY else one.freeze_ms for one in of_type]
    return tuple(ms for ms in found if ms)[:_LATEST]
