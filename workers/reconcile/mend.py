"""Before a job acts on its VM: what jobs before it have left there, as far as it is safe to put right and costs nothing.

It is a look into the VM's folders and into that of the watchdog. All else a rescan finds.
"""

import logging
from collections.abc import Collection
from uuid import UUID

from hypervisor.port import Host
from stillframe.errors import StillframeError
from workers.reading import home_in, why_not
from workers.reconcile import left_standing
from workers.reconcile.look import id_in
from workers.reconcile.parts import is_part
from workers.watch_folder import WatchFolder

logger = logging.getLogger(__name__)


def mend(
    host: Host, vm: UUID, watch: WatchFolder, own: Collection[UUID], block_layers_folder: str
) -> list[str]:
    """Says what was done. `own` are the ids of the job and of what it makes: those are its own affair.

    The caller holds the VM's lock, so that no other job writes there. What cannot be put right is left to a rescan.
    """
    done: list[str] = []
    try:
        for ward in left_standing.left(watch, vm, own):
            if what := left_standing.end(host.vm(vm), watch, ward):
                done.append(f"{what}: job {ward.job} had left a {ward.kind}")
        for part in _parts(host, vm, own, block_layers_folder):
            host.images.remove(part)
            done.append(f"removed: {part}")
    except (StillframeError, OSError) as error:
        logger.warning("VM %s: what was left there could not be put right: %s", vm, error)
    return done


def _parts(host: Host, vm: UUID, own: Collection[UUID], block_layers_folder: str) -> list[str]:
    """Files in the VM's homes that were still being written when their writer died."""
    handle = host.vm(vm)
    volumes = [volume for volume in handle.disks_of(handle.definition()) if why_not(volume) is None]
    homes = {home_in(vm, volume, block_layers_folder) for volume in volumes}
    return [
        path
        for home in sorted(homes)
        for path in host.images.listing(home)
        if is_part(path) and (id_ := id_in(path)) and id_ not in own
    ]
