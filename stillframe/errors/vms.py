"""What a VM is, does or has at this moment that is in the way."""

from stillframe.errors.families import HypervisorFailed, Invalid, NotFound, NotNow, Refused


class LostTrack(HypervisorFailed):
    """libvirt lost track of {target} of VM "{vm}": QEMU writes to {path} since a merge, and libvirt died before it noted that."""

    code = "vm.lost_track"
    remedy = (
        "Power the VM off and start it again: its definition names the right image by now. Then resume the job: "
        "stillframe job recover ID --resume."
    )


class LeftByLibvirt(HypervisorFailed):
    """libvirt says that VM "{vm}" is off, and a QEMU that it knows nothing of has {path} open: libvirtd was restarted."""

    code = "vm.left_by_libvirt"
    remedy = (
        "Nothing was touched. Do not start the VM: on its host stop libvirtd, run `python -m hypervisor.status_file` in the "
        "folder of Stillframe, and start libvirtd. Then resume the job: stillframe job recover ID --resume."
    )


class CutForgotten(HypervisorFailed):
    """VM "{vm}" wrote to {paths} before libvirt, which died then, had noted that; it was, or may have been, started without."""

    code = "vm.cut_forgotten"
    remedy = (
        "Nothing of them was removed, and nothing uses them. Look in them for what is missed (`guestmount --ro`, "
        "`qemu-nbd -r`), and remove them when they are of no more use."
    )


class VmNotFound(NotFound):
    """There is no VM "{vm}"."""

    code = "vm.not_found"
    remedy = "`stillframe vm list` shows the VMs that are known; a VM's uuid works as well as its name."


class VmNameAmbiguous(Invalid):
    """The name "{vm}" belongs to several VMs: {candidates}."""

    code = "vm.name_ambiguous"
    remedy = "Use the VM's uuid."


class VmGone(NotFound):
    """VM "{vm}" is no longer on host {host}."""

    code = "vm.gone"
    remedy = (
        "If it was moved, ask again once its new host has registered it; "
        "`stillframe snapshot list --vm {vm} --gone` shows the snapshots it had."
    )


class VmOnTwoHosts(Refused):
    """VM "{vm}" runs on host {host} and, under the same uuid, on host {other}: which of them is meant cannot be told."""

    code = "vm.on_two_hosts"
    remedy = (
        "Nothing is touched. If they share their images both damage them: stop one at once (`virsh destroy`). Give a copy "
        "a uuid of its own. If one of the hosts is lost for good: `stillframe host drain HOST`."
    )


class VmHasJobs(Refused):
    """VM "{vm}" cannot be given away while job {job} is not over."""

    code = "vm.has_jobs"
    remedy = "Wait for its jobs, or cancel them, and ask again."


class AgentUnresponsive(Refused):
    """The guest agent of VM "{vm}" does not answer, and quiesce is required: {detail}"""

    code = "vm.agent_unresponsive"
    remedy = "Install or start qemu-guest-agent in the guest, or ask with quiesce prefer or never."


class NoUsableVolume(Refused):
    """VM "{vm}" has no volume that can be snapshotted: {why}."""

    code = "vm.no_usable_volume"
    remedy = "Stillframe snapshots file and block volumes (raw, qcow2) that are writable and not shared."


class VmTransient(Refused):
    """VM "{vm}" is transient: it would vanish when stopped, with its snapshots."""

    code = "vm.transient"
    remedy = "Define it (`virsh define`) and ask again."


class VmBusy(NotNow):
    """VM "{vm}" is busy with something that Stillframe did not begin: {detail}"""

    code = "vm.busy"
    remedy = "Wait until it has ended (`virsh domjobinfo`, `virsh blockjob`) and ask again."


class ManagedSavePresent(Refused):
    """VM "{vm}" has a managed save image, which would be lost or no longer fit its disks."""

    code = "vm.managed_save"
    remedy = "Start the VM, or remove the image (`virsh managedsave-remove`), and ask again."


class VmDrifted(Refused):
    """VM "{vm}" writes to {path} ({target}), which {why}: its definition was changed from outside."""

    code = "vm.drifted"
    remedy = (
        "Nothing was touched. Point {target} back at the layer it had (`virsh edit`; the newest in its folder), or "
        "keep what it is now as a disk of its own, and ask again."
    )


class ManifestMissing(Refused):
    """The manifest of snapshot "{snapshot}" of VM "{vm}" is not in {folder}: which layers it needs is not known."""

    code = "vm.manifest_missing"
    remedy = (
        "Nothing was touched. Bring that folder back (is its storage mounted?) and ask again. If it is gone for good, "
        "rescan the host with --repair: the snapshot is then in error, stands in nobody's way, and can be deleted."
    )


class StorageAway(HypervisorFailed):
    """{path} is not there, and nothing else is in {place}: its storage is not mounted."""

    code = "vm.storage_away"
    remedy = (
        "Nothing was written there, and nothing counts as removed. Mount it, and resume the job: "
        "stillframe job recover ID --resume."
    )


class ForeignSnapshots(Refused):
    """VM "{vm}" has snapshots made by others ({names}): theirs and those of Stillframe would break each other."""

    code = "vm.foreign_snapshots"
    remedy = "Delete them first (`virsh snapshot-delete`; internal ones also by `stillframe snapshot delete`), and ask again."


class VmHeld(NotNow):
    """Another process on the host is still at work on VM "{vm}"."""

    code = "vm.held"
    remedy = "It is tried again when that has ended."


class VmNotLocked(NotNow):
    """The lock of VM "{vm}" on its host cannot be taken: {detail}."""

    code = "vm.not_locked"
    remedy = "Make room for STILLFRAME_LOCK_FOLDER on the host, or give it back its rights. It is tried again by itself."


class ChainTooDeep(Refused):
    """Volume {target} of VM "{vm}" stands on {depth} layers, and {limit} are the most."""

    code = "vm.chain_too_deep"
    remedy = "Delete snapshots of this VM that are not needed any more, and ask again."


class MemoryWithPassthrough(Refused):
    """The memory of VM "{vm}" cannot be saved: it has devices of the host ({devices})."""

    code = "vm.passthrough"
    remedy = "Take a hot snapshot (disks only), or detach the devices first."


class VmMigrating(NotNow):
    """VM "{vm}" is being migrated."""

    code = "vm.migrating"
    remedy = "Ask again when it has arrived."


class FreezeTooLong(Refused):
    """The filesystems of VM "{vm}" were thawed after {budget_s} s, before its volumes were cut, and quiesce is required."""

    code = "vm.freeze_too_long"
    remedy = "Ask again at a quieter time, with a larger STILLFRAME_FREEZE_BUDGET_S, or with quiesce prefer."


class NotSurelyFrozen(Refused):
    """Whether the filesystems of VM "{vm}" were frozen when its volumes were cut is not certain, and quiesce is required."""

    code = "vm.not_surely_frozen"
    remedy = "Nothing was kept. Ask again, or with quiesce prefer."


class PauseTooLong(HypervisorFailed):
    """VM "{vm}" stood still for more than {budget_s} s while its RAM was saved; it was let go, and nothing was cut."""

    code = "vm.pause_too_long"
    remedy = "Look why the storage of its RAM is slow; ask again with a larger STILLFRAME_PAUSE_BUDGET_S, or for type hot."


class ForeignInternalSnapshots(Refused):
    """VM "{vm}" has internal snapshots made by others ({names}), which new layers would break."""

    code = "vm.foreign_internal_snapshots"
    remedy = "Delete them first (`stillframe snapshot delete`, `virsh snapshot-delete`), and ask again."
