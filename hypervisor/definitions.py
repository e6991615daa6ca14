"""Making libvirt's definitions last.

libvirt writes a definition beside the old one, syncs it and renames it, and does not sync the folder: for as long as the
file system likes (ext4 5 s, XFS 30 s) a power cut brings the old definition back, though libvirt has answered. A VM then boots on
the layer that a snapshot froze, or from one that was merged and removed, without what it wrote since.
"""

import logging

from hypervisor import files

logger = logging.getLogger(__name__)

#: Where libvirt's system daemon keeps those of QEMU's VMs.
FOLDER = "/etc/libvirt/qemu"


def make_last(folder: str) -> None:
    """Brings what libvirt has renamed in its folder onto the storage. A folder that is not to be had is told in the log."""
    try:
        files.sync(folder)
    except OSError as error:
        logger.warning("a power cut may undo what libvirt was told of a VM: %s", error)
