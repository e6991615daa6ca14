"""Which host has a VM of which several have something: a VM that moves, what a migration has left, a copy with its uuid.

A VM is where its row says, until that host says that it runs there no more, or has been silent for long: then it is where
it was seen to run. So nothing goes back and forth, and no job goes to a host before the one that had the VM is done with
it. What another host has of it meanwhile is its twin. If both run, which of them is meant cannot be told: that is told,
and until one of them stops no job of the VM is accepted or begun.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from models.base import Json
from models.hosts.follow import move_vm
from models.hosts.tables import Host
from models.jobs.line import HOST_SILENT_S
from models.moves import Told, tell
from models.vms.tables import Vm, VmTwin
from stillframe.errors import VmOnTwoHosts
from stillframe.events import EventType, Level
from stillframe.rules import ALIVE
from stillframe.seen import VmSeen
from stillframe.states import VmState

#: How long what was seen of a VM counts as just now.
_FRESH = timedelta(minutes=3)
#: At the end of a migration both hosts may show the VM for a moment; what is so for longer is no migration.
_MOMENT = timedelta(seconds=10)
#: libvirt's reasons for a pause in which QEMU waits for the other side of a migration.
_IN_MIGRATION = frozenset({"migration", "postcopy", "postcopy_failed", "starting_up"})


@dataclass(frozen=True)
class _HostFacts:
    name: str
    #: No sign of life for long.
    silent: bool
    #: It is silent, and a person has said that it is to have nothing any more.
    lost: bool


class Twins:
    """What others than the host of their row have of some VMs, as one host is looked at. The caller holds these rows."""

    def __init__(self, host: UUID, now: datetime, began: datetime, twins: Iterable[VmTwin]) -> None:
        self._host = host
        self._now = now
        #: When the look began.
        self._began = began
        self._of: dict[UUID, dict[UUID, VmTwin]] = {}
        for twin in twins:
            self._of.setdefault(twin.vm_id, {})[twin.host_id] = twin
        self._hosts: Mapping[UUID, _HostFacts] = {}

    @classmethod
    def read(
        cls, session: Session, host: UUID, rows: Collection[Vm], now: datetime, began: datetime | None
    ) -> Self:
        """Those of these VMs."""
        of = select(VmTwin).where(VmTwin.vm_id.in_([row.id for row in rows]))
        twins = cls(host, now, began or now, session.scalars(of.execution_options(populate_existing=True)))
        concerned = {row.host_id for row in rows if row.host_id != host}
        concerned |= {other for of_vm in twins._of.values() for other in of_vm}
        if concerned:
            twins._hosts = _hosts(session, {host, *concerned})
        return twins

    def is_here(self, session: Session, row: Vm, seen: VmSeen) -> bool:
        """Whether it is this host that has the VM, by what was just seen of it there; if not, that is noted."""
        if row.host_id != self._host:
            taken = self._takes(row, seen)
            if taken:
                self._drop(session, row, self._host)
            else:
                self._note(session, row, seen)
            return taken
        rival = self._rival(row.id)
        if rival is None:
            return True
        if _runs(seen.state, seen.reason):
            if rival.on_two_at is None and rival.since < self._began - _MOMENT:
                self._tell_of_two(session, row, rival)
            return True
        self._hand_over(session, row, rival)
        self._note(session, row, seen)
        return False

    def leave(self, session: Session, row: Vm) -> bool:
        """This host has nothing of the VM any more; whether the VM is known to be on another."""
        if row.host_id != self._host:
            self._drop(session, row, self._host)
            return True
        rival = self._rival(row.id)
        if rival is not None:
            self._hand_over(session, row, rival)
        return rival is not None

    def forget(self, session: Session, rows: Mapping[UUID, Vm], but: Collection[UUID]) -> None:
        """What this host had of other hosts' VMs is gone, but of these; and so is what lost hosts had."""
        for vm, twins in list(self._of.items()):
            for host in list(twins):
                if (host == self._host and vm not in but) or self._hosts[host].lost:
                    self._drop(session, rows[vm], host)

    def _takes(self, row: Vm, seen: VmSeen) -> bool:
        alive = row.state in ALIVE
        if row.gone or not alive:
            # That its host is not heard does not tell that what is off elsewhere is more than what a migration left.
            return seen.state in ALIVE or self._hosts[row.host_id].lost or (row.gone and self._moved_off(row))
        # One that was seen to run is not given up for one that is off, however long its host has been silent: it may
        # still run there, and write to the images.
        if not _runs(seen.state, seen.reason):
            return False
        if not _runs(row.state, row.reason):
            return True
        known = self._of.get(row.id, {}).get(self._host)
        owner = self._hosts[row.host_id]
        if known is not None and known.on_two_at is not None:
            return owner.lost
        return owner.silent or row.seen_at <= self._now - _FRESH

    def _moved_off(self, row: Vm) -> bool:
        """Whether a VM that its host has no more was moved here. A definition that lay here long before is taken for it
        only if it stays away: it may be about to be defined anew where it was.
        """
        known = self._of.get(row.id, {}).get(self._host)
        came_as_it_went = known is None or known.since >= row.seen_at - _FRESH
        return came_as_it_went or row.seen_at <= self._now - _FRESH

    def _rival(self, vm: UUID) -> VmTwin | None:
        found = [
            twin
            for twin in self._of.get(vm, {}).values()
            if _runs(twin.state, twin.reason) and not self._hosts[twin.host_id].lost
        ]
        return min(found, key=lambda twin: (twin.state is not VmState.RUNNING, twin.since), default=None)

    def _note(self, session: Session, row: Vm, seen: VmSeen) -> None:
        twins = self._of.setdefault(row.id, {})
        twin = twins.get(self._host)
        if twin is None:
            twin = twins[self._host] = VmTwin(vm_id=row.id, host_id=self._host, since=self._now)
            session.add(twin)
        elif _runs(seen.state, seen.reason) != _runs(twin.state, twin.reason):
            self._tell_of_one(session, row, twin)
            twin.since, twin.on_two_at = self._now, None
        twin.state, twin.reason, twin.seen_at = seen.state, seen.reason, self._now

    def _drop(self, session: Session, row: Vm, host: UUID) -> None:
        twin = self._of.get(row.id, {}).pop(host, None)
        if twin is not None:
            self._tell_of_one(session, row, twin)
            session.delete(twin)

    def _hand_over(self, session: Session, row: Vm, rival: VmTwin) -> None:
        """The VM is where it was seen to run. Volumes and layers are recorded with the next look there."""
        changes = _changes(row, {"host_id": rival.host_id, "state": rival.state, "gone": False})
        row.host_id, row.state, row.reason, row.gone = rival.host_id, rival.state, rival.reason, False
        row.seen_at = rival.seen_at
        told = Told(EventType.VM_CHANGED, "host", message=row.name, data=changes)
        tell(session, told, vm=row.id, host=rival.host_id)
        self._drop(session, row, rival.host_id)
        session.flush()
        move_vm(session, row.id, row.host_id)

    def _tell_of_two(self, session: Session, row: Vm, rival: VmTwin) -> None:
        rival.on_two_at = self._now
        hosts = [self._hosts[row.host_id].name, self._hosts[rival.host_id].name]
        error = VmOnTwoHosts(vm=row.name, host=hosts[0], other=hosts[1])
        data: Json = {"hosts": hosts, "error": error.to_json()}
        told = Told(EventType.VM_ON_TWO_HOSTS, "host", Level.ERROR, error.detail, data)
        tell(session, told, vm=row.id, host=row.host_id)

    def _tell_of_one(self, session: Session, row: Vm, twin: VmTwin) -> None:
        if twin.on_two_at is not None:
            told = Told(EventType.VM_ON_ONE_HOST, "host", message=row.name)
            tell(session, told, vm=row.id, host=row.host_id)


@dataclass(frozen=True)
class Elsewhere:
    """What two hosts have of one VM."""

    #: The host that has it by its row, and the other.
    host: str
    other: str
    #: What the other has.
    state: VmState
    #: Since when it has that, and whether both run.
    since: datetime
    both_run: bool


def elsewhere(session: Session, vm: UUID) -> list[Elsewhere]:
    """What other hosts than the one that has it have of a VM; first those that make it run twice."""
    other = aliased(Host)
    of = (
        select(Host.name, other.name.label("other"), VmTwin.state, VmTwin.since, VmTwin.on_two_at)
        .join(Vm, Vm.id == VmTwin.vm_id)
        .join(Host, Host.id == Vm.host_id)
        .join(other, other.id == VmTwin.host_id)
        .where(VmTwin.vm_id == vm, ~Vm.gone)
        .order_by(VmTwin.on_two_at.is_(None), VmTwin.since)
    )
    return [
        Elsewhere(row.name, row.other, row.state, row.since, row.on_two_at is not None)
        for row in session.execute(of)
    ]


def check_on_one_host(session: Session, vm: Vm) -> None:
    """Raises VmOnTwoHosts if it runs on two."""
    for one in elsewhere(session, vm.id):
        if one.both_run:
            raise VmOnTwoHosts(vm=vm.name, host=one.host, other=one.other)


def _runs(state: VmState, reason: str) -> bool:
    """Whether it is at work there: in a migration one QEMU of it stands paused, and is not."""
    return state is VmState.RUNNING or (state is VmState.PAUSED and reason not in _IN_MIGRATION)


def _changes(row: Vm, to: Mapping[str, object]) -> Json:
    return {
        name: {"from": str(getattr(row, name)), "to": str(value)}
        for name, value in to.items()
        if getattr(row, name) != value
    }


def _hosts(session: Session, hosts: Collection[UUID]) -> dict[UUID, _HostFacts]:
    silent = Host.last_seen_at < func.now() - timedelta(seconds=HOST_SILENT_S)
    of = select(Host.id, Host.name, silent.label("silent"), Host.drained_at).where(Host.id.in_(hosts))
    return {
        row.id: _HostFacts(row.name, row.silent, row.silent and row.drained_at is not None)
        for row in session.execute(of)
    }
