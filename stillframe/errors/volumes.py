"""Volumes, and volume snapshots that were extracted."""

from stillframe.errors.families import NotFound, Refused, StillframeError


class VolumeNotFound(NotFound):
    """The {where} has no volume "{target}"; it has: {targets}."""

    code = "volume.not_found"
    remedy = "Name one of the volumes that exist, such as vda."


class VolumeSnapshotNotFound(NotFound):
    """There is no volume snapshot "{volume}"."""

    code = "volume_snapshot.not_found"
    remedy = "`stillframe volume list` shows those that exist."


class VolumeNameTaken(Refused):
    """There is already a volume snapshot named "{name}"."""

    code = "volume_snapshot.name_taken"
    remedy = "Choose another name."


class VolumeSnapshotNotReady(Refused):
    """Volume snapshot "{volume}" is {state}."""

    code = "volume_snapshot.not_ready"
    remedy = "Wait for the job that makes it, or cancel that; one in error can be deleted."


class VolumeDeletionAsked(Refused):
    """Volume snapshot "{volume}" is already to be deleted, by job {job}."""

    code = "volume_snapshot.deletion_asked"
    remedy = "Wait for that job, or cancel it (`stillframe job cancel`) and ask again."


class VolumeInUse(Refused):
    """The image of volume snapshot "{volume}" is needed by {by}: {path}"""

    code = "volume_snapshot.in_use"
    remedy = "Detach it there, or let what stands on it stand on its own (`qemu-img convert`), and ask again."


class VolumeSnapshotLost(StillframeError):
    """The image of volume snapshot "{volume}" was not found on host {host}: {path} is gone."""

    code = "volume_snapshot.lost"
    remedy = "Bring the file back and rescan with --adopt, or delete the volume snapshot."
