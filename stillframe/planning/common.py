"""What every plan looks at, whatever is asked."""

from stillframe.errors import (
    ForeignSnapshots,
    ManagedSavePresent,
    NotEnoughSpace,
    VmBusy,
    VmMigrating,
)
from stillframe.planning.forecast import Draft, Place
from stillframe.planning.warned import FreeSpaceUnknown, HostSilent, JobsAhead, VmUnreadable
from stillframe.rules import ALIVE, check_defined, check_room


def look_around(draft: Draft) -> None:
    """What may hold any job up or make it wait. Most of it is over by itself, so it does not refuse a request."""
    vm = draft.vm
    if vm.drained is not None:
        draft.refusals.append(("request", vm.drained))
    if not vm.host_is_alive:
        draft.warn(HostSilent(host=vm.host))
    if vm.traits.unreadable:
        draft.warn(VmUnreadable(vm=vm.name, why=vm.traits.unreadable))
    if vm.ahead:
        draft.warn(JobsAhead(vm=vm.name, jobs=vm.ahead))


def check_stands(draft: Draft) -> None:
    """What a job that changes the VM's images needs of it."""
    vm, traits = draft.vm, draft.vm.traits
    draft.check("request", lambda: check_defined(vm.name, persistent=traits.persistent))
    if traits.managed_save:
        draft.refusals.append(("job", ManagedSavePresent(vm=vm.name)))
    if vm.state not in ALIVE or vm.ahead:
        return  # what is begun by jobs that go first is theirs
    if traits.activity is not None and traits.activity.startswith("migration"):
        draft.warn(VmMigrating(vm=vm.name))
    elif traits.activity is not None:
        draft.warn(VmBusy(vm=vm.name, detail=f"libvirt is at a {traits.activity}"))
    for target, kind in sorted(traits.block_jobs.items()):
        draft.warn(VmBusy(vm=vm.name, detail=f"a {kind} job runs on {target}"))


def check_not_foreign(draft: Draft) -> None:
    """Where others have snapshots, ours would break theirs and theirs ours."""
    traits = draft.vm.traits
    if names := dict.fromkeys((*traits.internal_snapshots, *traits.foreign_snapshots)):
        draft.refusals.append(("job", ForeignSnapshots(vm=draft.vm.name, names=", ".join(names))))


def check_places(draft: Draft, places: tuple[Place, ...], least: int = 0) -> None:
    """Refuses what does not fit; `least` bytes are wanted everywhere."""
    for place in places:
        if place.free is None:
            draft.warn(FreeSpaceUnknown(where=place.where))
            continue
        try:
            check_room(place.where, place.free, max(place.needed, least), place.what)
        except NotEnoughSpace as refusal:
            draft.refusals.append(("job", refusal))


def others(count: int) -> str:
    """`other snapshot`, `3 other snapshots`."""
    return "other snapshot" if count == 1 else f"{count} other snapshots"
