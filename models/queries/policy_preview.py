"""What is to come of a policy, and what would be pruned now: by the code that fires and prunes."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection, func, select

from models.base import AnyRow, AnySelect, Json
from models.policies.images import JudgedVolumes, judge_volumes
from models.policies.kept import Judged, judge
from models.policies.pace import took
from models.policies.resolve import vms_in
from models.policies.spec import read
from models.policies.tables import Policy, PolicySchedule
from models.queries.policy_vms import set_aside, set_aside_in_words
from models.snapshots.tables import Snapshot
from models.vms.tables import Vm, Volume
from stillframe.policies.as_json import schedule_from_json
from stillframe.policies.dead_ends import Deepest, dead_ends
from stillframe.policies.firing import jitter_of
from stillframe.policies.pace import warnings
from stillframe.rules import ALIVE
from stillframe.states import SnapshotState

#: A snapshot in one of these is a layer under its volumes.
_LAYERED = (SnapshotState.READY, SnapshotState.REVERTING, SnapshotState.DELETING)


def preview(connection: Connection, policy: UUID, count: int) -> Json:
    """The next runs with each VM's turn, and what would be kept and pruned now, with every reason."""
    return {
        "warnings": warnings_of(connection, policy),
        "runs": _coming(connection, policy, count),
        "vms": [_shown(one) for one in judge(connection, policy)],
        "volumes": _volumes_shown(connection, policy),
    }


def warnings_of(connection: Connection, policy: UUID) -> list[str]:
    """What comes to a standstill or to nothing, and what is too slow by what its VMs' last snapshots took."""
    row = connection.execute(select(Policy.spec, func.now().label("now")).where(Policy.id == policy)).one()
    wish, vms = read(row.spec), vms_in(connection, [policy]).get(policy, [])
    alive = select(Vm.name).where(Vm.id.in_(vms), Vm.state.in_(ALIVE)).order_by(Vm.name)
    ends = dead_ends(wish, connection.scalars(alive).all(), _deepest(connection, policy, vms), row.now)
    return [
        *ends,
        *warnings(wish, took(connection, vms, wish.mode), row.now),
        *set_aside_in_words(connection, policy),
    ]


def _deepest(connection: Connection, policy: UUID, vms: list[UUID]) -> Deepest | None:
    of_policy = (Snapshot.vm_id == Vm.id, Snapshot.policy_id == policy, Snapshot.state.in_(_LAYERED))
    own = select(func.count()).where(*of_policy).correlate(Vm).scalar_subquery()
    others = (func.max(Volume.depth) - own).label("others")
    found = connection.execute(
        select(Vm.name, others)
        .join(Volume, Volume.vm_id == Vm.id)
        .where(Vm.id.in_(vms), Volume.why_not.is_(None))
        .group_by(Vm.id, Vm.name)
        .order_by(others.desc(), Vm.name)
        .limit(1)
    ).one_or_none()
    return found and Deepest(found.name, found.others)


def _coming(connection: Connection, policy: UUID, count: int) -> list[Json]:
    vms = vms_in(connection, [policy]).get(policy, [])
    names = {
        row.id: row.name for row in connection.execute(select(Vm.id, Vm.name).where(Vm.id.in_(vms[:20])))
    }
    aside = set_aside(connection, policy, vms[:20])
    coming = [
        _run(policy, row, at, names, aside)
        for row in connection.execute(_going(policy))
        for at in islice(schedule_from_json(row.spec).instants(row.next_at - timedelta(seconds=1)), count)
    ]
    return sorted(coming, key=lambda run: run["at"])[:count]


def _run(policy: UUID, row: AnyRow, at: datetime, names: dict[UUID, str], aside: Mapping[UUID, str]) -> Json:
    schedule = schedule_from_json(row.spec)
    turns = [
        {
            "vm": {"id": vm, "name": name},
            "at": at + jitter_of(policy, row.id, vm, schedule.jitter),
            "set_aside": aside.get(vm),
        }
        for vm, name in names.items()
    ]
    local = at.astimezone(schedule.zone)
    return {
        "at": at,
        "local": local.isoformat(),
        "schedule": row.spec,
        "turns": sorted(turns, key=lambda turn: turn["at"]),
    }


def _going(policy: UUID) -> AnySelect:
    return select(PolicySchedule.id, PolicySchedule.spec, PolicySchedule.next_at).where(
        PolicySchedule.policy_id == policy,
        PolicySchedule.retired_at.is_(None),
        PolicySchedule.next_at.is_not(None),
    )


def _shown(one: Judged) -> Json:
    return {"vm": {"id": one.vm_id, "name": one.vm_name}, "snapshots": _verdicts(one)}


def _volumes_shown(connection: Connection, policy: UUID) -> list[Json]:
    judged = judge_volumes(connection, policy)
    names = {
        row.id: row.name
        for row in connection.execute(select(Vm.id, Vm.name).where(Vm.id.in_({one.vm_id for one in judged})))
    }
    return [
        {"vm": {"id": one.vm_id, "name": names[one.vm_id]}, "target": one.target, "images": _verdicts(one)}
        for one in judged
    ]


def _verdicts(one: Judged | JudgedVolumes) -> list[Json]:
    return [
        {
            "id": verdict.id,
            "name": one.names[verdict.id],
            "created_at": verdict.created_at,
            "size_bytes": one.sizes[verdict.id],
            "keep": verdict.keep,
            "reasons": list(verdict.reasons),
        }
        for verdict in one.verdicts
    ]
