"""What a plan warns of: nothing of it refuses a request. Worded and kept like errors, and never raised."""

from stillframe.errors import StillframeError


class Warned(StillframeError):
    """Something is worth knowing: {detail}"""

    code = "warned"
    remedy = ""


class VolumesLeftOut(Warned):
    """Snapshots of VM "{vm}" leave out {volumes}."""

    code = "vm.volumes_left_out"
    remedy = "What is on them stays as it is at a revert. Keep it by other means if it matters."


class ChainDeep(Warned):
    """Volume {target} of VM "{vm}" is read through {depth} images already; {limit} are the most."""

    code = "vm.chain_deep"
    remedy = "Each image makes reading slower. Delete snapshots of this VM that are not needed any more."


class LittleLeft(Warned):
    """{where} has {free_bytes} free, and the new layers there can grow to {could_bytes}."""

    code = "storage.little_left"
    remedy = "Watch it: a VM whose storage is full is paused. Delete snapshots, or make room there."


class FreeSpaceUnknown(Warned):
    """How much is free in {where} is not known."""

    code = "storage.unknown"
    remedy = "The worker looks before it begins."


class TpmNotKept(Warned):
    """The state of the TPM of VM "{vm}" ({tpm}) is no part of a {type} snapshot."""

    code = "vm.tpm_not_kept"
    remedy = (
        "After a revert the TPM is as it is then, and keys it sealed since may be missing: keep recovery keys, "
        "or take a memory snapshot, which has the state of an emulated one."
    )


class DevicesOutside(Warned):
    """VM "{vm}" has devices whose state is kept outside of it ({devices}): saved RAM may not fit them later."""

    code = "vm.devices_outside"
    remedy = "Take a hot snapshot (disks only), or detach the devices first."


class NotQuiesced(Warned):
    """The guest agent of VM "{vm}" is {agent}: the snapshot will be as after a power cut."""

    code = "vm.not_quiesced"
    remedy = (
        "Start qemu-guest-agent in the guest for a consistent one, or ask with quiesce require to be sure."
    )


class JobsAhead(Warned):
    """VM "{vm}" has jobs that go first ({jobs}), and this plan does not know what they will change."""

    code = "vm.jobs_ahead"
    remedy = "`stillframe job list --vm {vm} --state queued --state running` shows them. Plan again when they are over."


class HostSilent(Warned):
    """Host {host} has not been heard of lately: the job will wait until it is back."""

    code = "host.silent"
    remedy = "`stillframe host list` shows since when. A job that waits too long expires; see start_within_s."


class VmUnreadable(Warned):
    """VM "{vm}" could not be looked at: {why}."""

    code = "vm.unreadable"
    remedy = "The plan is made from what was known before. The worker looks again."


class NotYetSeen(Warned):
    """The layers of VM "{vm}" are not known: what this would free and move cannot be told."""

    code = "vm.layers_unknown"
    remedy = "Ask again in a minute; the worker's log says why, if its images cannot be read."
