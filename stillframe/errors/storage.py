"""Room and images."""

from stillframe.errors.families import HypervisorFailed, Refused, StillframeError


class StorageFull(StillframeError):
    """No room was left on the host in the middle of the job: {detail}"""

    code = "storage.full"
    remedy = "Free space there (delete old snapshots, move files away) and ask again."


class NotEnoughSpace(Refused):
    """{where} has {free_bytes} free, and {needed_bytes} are needed for {what}."""

    code = "storage.not_enough_space"
    remedy = "Free space there (delete old snapshots, move files away) and ask again."


class LayerHalfMerged(Refused):
    """{path} is half merged (with {top}): alone it is neither the one nor the other."""

    code = "layer.half_merged"
    remedy = "Nothing was touched. Let the deletion that began it end (ask for it again); do not boot or copy {path} alone."


class QemuImgFailed(HypervisorFailed):
    """qemu-img {verb} failed with exit code {rc}: {stderr}"""

    code = "image.failed"
