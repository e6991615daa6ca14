"""Looks at the whole host: once when its worker starts, and whenever a person asks for one.

They run beside the keeper's loop, in a thread and over a connection of their own: a guest agent that hangs is waited
for, and meanwhile the host's sign of life and the jobs of dead workers must not wait.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import Engine

from hypervisor.port import Host, VmFacts
from models.hosts import rescans
from models.hosts.rescans import Asked
from models.hosts.twins import Elsewhere
from models.moves import Told, tell
from models.session import DatabaseAway, transaction
from models.snapshots.remembered import RowsOfVm, vms_elsewhere
from stillframe.errors import HostLost, StillframeError, VmGone, VmHeld, VmNotLocked, VmOnTwoHosts
from stillframe.events import EventType, Level
from stillframe.findings import REMEDY, Finding, Kind, Repair
from stillframe.settings import Settings
from stillframe.states import VmState
from workers.hold import hold
from workers.inventory import take_inventory
from workers.reconcile import rows, strays
from workers.reconcile.examine import examine, mended
from workers.reconcile.look import Look
from workers.watch_folder import WatchFolder

logger = logging.getLogger(__name__)

#: Seconds between two looks for rescans that were asked for.
LOOK_S = 1.0
#: Seconds to wait for a VM that a job is at work on. Its job waits longer than a look takes.
TURN_S = 1.0
RECONNECT_S = 5.0


class Rescans:
    """The rescans of one host."""

    def __init__(self, settings: Settings, engine: Engine, host: Callable[[], Host]) -> None:
        self._settings = settings
        self._engine = engine
        self._connect = host
        self._watch = WatchFolder(settings.watch_folder, settings.host)
        self._host: Host | None = None

    def begin(self) -> None:
        """For ever, in a thread of its own."""
        threading.Thread(target=self._run, name="rescans", daemon=True).start()

    def first_look(self) -> list[Finding]:
        """What a worker finds when it starts: what is safe is put right, and the rest is told, a VM an event."""
        found = self._look(None, {Repair.ITSELF}, self._settings.host)
        left_over = [one for one in found if one.is_drift and one.kind is not Kind.VM_BUSY]
        for vm_id, left in _by_vm(left_over).items():
            logger.warning("VM %s: %s", left[0].vm, "; ".join(f"{one.kind}: {one.detail}" for one in left))
            self._tell(vm_id, left, Told(EventType.VM_DRIFTED, self._settings.host, Level.WARNING))
        return found

    def run_next(self) -> bool:
        """Carries out the oldest one that was asked for; False if there is none."""
        with transaction(self._engine) as session:
            asked = rescans.take_up(session, self._settings.host)
        if asked is None:
            return False
        try:
            found = self._look_anyhow(asked.vm, _may(asked), asked.requested_by)
            with transaction(self._engine) as session:
                rescans.finish(session, asked, [one.to_json() for one in found])
        except DatabaseAway:
            raise
        except Exception as error:
            # Whatever it was: one that never ends would be taken up again and again, and hold up all that come after it.
            logger.warning("rescan %s", asked.id, exc_info=True)
            said = error if isinstance(error, StillframeError) else StillframeError(detail=repr(error)[:1000])
            with transaction(self._engine) as session:
                rescans.fail(session, asked, said.to_json())
        return True

    def _look_anyhow(self, only: UUID | None, may: Collection[Repair], actor: str) -> list[Finding]:
        """Looks, and once more over a new connection if libvirt was started anew."""
        try:
            return self._look(only, may, actor)
        except HostLost:
            self._connected().reconnect(RECONNECT_S)
            return self._look(only, may, actor)

    def _look(self, only: UUID | None, may: Collection[Repair], actor: str) -> list[Finding]:
        host = self._connected()
        take_inventory(self._engine, host, self._settings)
        vms = host.vms()
        found = [
            one
            for vm in sorted(vms, key=lambda vm: vm.name)
            if only in (None, vm.uuid)
            for one in self._vm(host, vm, may, actor)
        ]
        if any(one.repaired for one in found):
            take_inventory(self._engine, host, self._settings)
        if only is None:
            here = [vm for vm in vms if not vm.unreadable]
            others = vms_elsewhere(self._engine, self._settings.host)
            found += strays.examine(host.images, here, others, self._settings.block_layers_folder)
        return found

    def _vm(self, host: Host, vm: VmFacts, may: Collection[Repair], actor: str) -> list[Finding]:
        of_vm = RowsOfVm(self._engine, self._settings.host, vm.uuid)
        others = [_twin(vm, one) for one in of_vm.elsewhere() if self._settings.host in (one.host, one.other)]
        if not of_vm.is_of_this_host() or any(one.kind is Kind.VM_ON_TWO_HOSTS for one in others):
            return others
        frozen = _is_frozen(host, vm)  # before the lock is taken: an agent that hangs is waited for
        try:
            with hold(self._settings.lock_folder, vm.uuid, vm.name, TURN_S):
                if not vm.unreadable:
                    vm = host.vm(vm.uuid).facts()
                frozen = frozen and _is_frozen(host, vm)
                look = Look(host, vm, of_vm, self._settings.block_layers_folder, frozen, self._watch)
                found = mended(examine(look), may)
                pen = rows.Pen(engine=self._engine, host=self._settings.host, actor=actor)
                found = rows.put_right(pen, look, found, may)
        except (VmHeld, VmNotLocked) as error:
            return [*others, _busy(vm, error.detail)]
        except VmGone:
            return others
        if done := [one for one in found if one.repaired]:
            self._tell(str(vm.uuid), done, Told(EventType.VM_MENDED, actor))
        return [*others, *found]

    def _tell(self, vm_id: str, findings: Sequence[Finding], told: Told) -> None:
        data = {"findings": [one.to_json() for one in findings]}
        message = ", ".join(sorted({str(one.kind) for one in findings}))
        with transaction(self._engine) as session:
            tell(session, replace(told, message=message, data=data), vm=UUID(vm_id))

    def _connected(self) -> Host:
        if self._host is None:
            self._host = self._connect()
        return self._host

    def _run(self) -> None:
        looked = False
        while True:
            try:
                if not looked:
                    self.first_look()
                    looked = True
                if not self.run_next():
                    time.sleep(LOOK_S)
            except HostLost as error:
                logger.warning("libvirt is away: %s", error)
                self._reconnect()
            except DatabaseAway as error:
                logger.warning("the database is away: %s", error.orig)
                time.sleep(LOOK_S)
            except Exception:
                # Whatever it was, those who ask next must not wait for ever.
                logger.exception("the host could not be looked at")
                looked = True
                time.sleep(LOOK_S)

    def _reconnect(self) -> None:
        try:
            self._connected().reconnect(RECONNECT_S)
        except HostLost as error:
            logger.warning("%s", error)


def _may(asked: Asked) -> set[Repair]:
    """What a rescan may put right. One that only looks changes nothing at all."""
    return (
        ({Repair.ITSELF, Repair.REPAIR} if asked.repair else set())
        | ({Repair.ADOPT} if asked.adopt else set())
    )  # fmt: skip


def _is_frozen(host: Host, vm: VmFacts) -> bool | None:
    if vm.unreadable or vm.state is not VmState.RUNNING:
        return None
    try:
        return host.vm(vm.uuid).is_frozen()
    except HostLost:
        raise
    except StillframeError:
        return None


def _busy(vm: VmFacts, why: str) -> Finding:
    return _finding(Kind.VM_BUSY, vm, why)


def _twin(vm: VmFacts, one: Elsewhere) -> Finding:
    """What another host has of it is left as it is."""
    if one.both_run:
        detail = VmOnTwoHosts(vm=vm.name, host=one.host, other=one.other).detail
        return _finding(Kind.VM_ON_TWO_HOSTS, vm, detail)
    detail = f"It is on host {one.host}. Host {one.other} has it too: {one.state} since {one.since:%Y-%m-%dT%H:%M:%SZ}."
    return _finding(Kind.VM_ELSEWHERE, vm, detail)


def _finding(kind: Kind, vm: VmFacts, detail: str) -> Finding:
    return Finding(
        kind=kind,
        vm=vm.name,
        vm_id=str(vm.uuid),
        subject=vm.name,
        detail=detail,
        remedy=REMEDY[kind],
    )


def _by_vm(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    of: dict[str, list[Finding]] = {}
    for one in findings:
        of.setdefault(one.vm_id, []).append(one)
    return of
