"""Freezes and pauses that jobs began, are on record, and of which no job sees the end any more.

The watchdog ends them within their budget. This is for a host whose watchdog is not there, and for a job that should not
meet what the one before it has left. The caller holds the VM's lock: no other job is at work on it.
"""

from collections.abc import Collection, Iterator
from uuid import UUID

from hypervisor.port import Vm
from stillframe.findings import Kind, Repair
from stillframe.rules import ALIVE, LEFT_BY_A_CUT
from stillframe.states import VmState
from workers.reconcile.look import Act, Found, Look
from workers.watch_folder import Ward, WatchFolder

#: Seconds to wait for a watchdog that is just at it.
TURN_S = 5.0


def examine(look: Look) -> Iterator[Found]:
    """What lasts of them."""
    for ward in left(look.watch, look.facts.uuid, look.busy) if look.watch else ():
        kind = Kind.GUEST_FROZEN if ward.kind == "freeze" else Kind.VM_PAUSED
        if not lasts(look.vm, ward):
            continue
        yield look.found(
            kind,
            look.facts.name,
            f"A {ward.kind} that job {ward.job} began was not ended.",
            repair=Repair.ITSELF,
            act=_end(look, ward),
            remedy="Rescan with --repair, and see why the watchdog of this host is not there.",
        )


def left(folder: WatchFolder, vm: UUID, but: Collection[UUID]) -> list[Ward]:
    """The wards of a VM that belong to none of these jobs; of one that ended nothing is left but the record."""
    return [ward for ward in folder.wards() if ward.vm == vm and ward.job not in but and not ward.ended]


def lasts(vm: Vm, ward: Ward) -> bool:
    """Whether the freeze or the pause is still there, and is the one that was begun."""
    if ward.kind == "freeze":
        return bool(vm.is_frozen())
    facts = vm.facts()
    reasons = LEFT_BY_A_CUT | {"user"} if ward.ours else LEFT_BY_A_CUT
    return facts.state is VmState.PAUSED and facts.reason in reasons


def end(vm: Vm, folder: WatchFolder, ward: Ward) -> str | None:
    """Ends it and takes it off the record, if the end was seen; what was done, if it lasted."""
    with folder.alone(ward.vm, ward.name, TURN_S):
        found = folder.ward(ward.vm, ward.job)
        if found is None or found.began != ward.began:
            return None
        done = None
        if lasts(vm, ward):
            done = "thawed" if ward.kind == "freeze" else "resumed"
            vm.thaw() if ward.kind == "freeze" else vm.resume()
        if not _is_over(vm, ward):
            return None
        folder.remove(ward)
        return done


def _is_over(vm: Vm, ward: Ward) -> bool:
    """A guest that cannot be asked may be frozen still: the record stays, and the watchdog goes on trying and telling."""
    if ward.kind == "freeze":
        return vm.is_frozen() is False or vm.facts().state not in ALIVE
    return not lasts(vm, ward)


def _end(look: Look, ward: Ward) -> Act:
    def act() -> str:
        return (end(look.vm, look.watch, ward) if look.watch else None) or "it had ended"

    return act
