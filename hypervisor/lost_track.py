"""Where libvirt has lost track of a disk: its daemon died after QEMU had changed over, and before it had noted that.

libvirt cannot be told, and believes what it noted until the VM is started anew. After a merge what can be done is that the
VM starts on the image it writes to now, for on the other one all that was written since would be gone. A cut can be taken
back: then QEMU writes where libvirt says.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import libvirt

from hypervisor import headers, locks, monitor
from hypervisor.libvirt_facts import is_on, merged_away
from hypervisor.port import Pulse, Source
from stillframe.errors import HypervisorFailed

#: What QEMU answers who names an image that it has left.
_LEFT = ("nor node-name", "Device 'libvirt-", "is not in this backing file chain")
_POLL_S = 0.05
#: How long a guest that never rests is waited for before QEMU changes over. Seconds.
_REST_S = 10.0


def gone_on(domain: Any, top: str, base: str, error: libvirt.libvirtError) -> Source | None:
    """The image that the VM writes to, `base`, if the error is that of a QEMU that has left `top` for it."""
    if not any(words in str(error) for words in _LEFT):
        return None
    written_to = monitor.heads(domain).values()
    if top in written_to or base not in written_to:
        return None
    return Source(base, headers.facts(top, "qcow2").backing_format or "raw")


def names_what_is_gone(domain: Any, definition: str, chain: tuple[str, ...]) -> bool:
    """Whether libvirt has an image in this chain that QEMU has left and that was removed since.

    Any other that is missing is on a storage that is away: then to start the VM anew is no help.
    """
    left = merged_away(domain, definition).intersection(chain)
    return any(path.startswith("/") and not os.path.exists(path) for path in left)


def unnoted(domain: Any, layers: Mapping[str, Source], noted: set[str]) -> dict[str, Source]:
    """Those of these layers of a cut that QEMU has open; `noted` are the images that libvirt says are written to."""
    held = {
        target: layer
        for target, layer in layers.items()
        if layer.path not in noted and locks.is_held(layer.path)
    }
    if not held or not is_on(domain):
        return {}
    return {target: layer for target, layer in held.items() if monitor.nodes(domain, layer.path)}


def take_back(domain: Any, target: str, layer: str, pulse: Pulse, leaving: Callable[[], object]) -> None:
    """Takes back a cut of one volume that libvirt does not know of. Nothing of what the guest wrote is lost: QEMU merges it."""
    if layer in monitor.heads(domain).values():
        _merge_back(domain, target, layer, pulse, leaving)
    let_go(domain, layer)


def let_go(domain: Any, path: str) -> bool:
    """QEMU closes an image that no disk of it stands on; it refuses others. Whether it had it open, and has not any more.

    A libvirtd that dies between a pivot and the closing of what was merged does not come back to it.
    """
    if not locks.is_held(path) or not is_on(domain):
        return False
    nodes = monitor.nodes(domain, path)
    for node in nodes:
        try:
            monitor.ask(domain, "blockdev-del", **{"node-name": node})
        except HypervisorFailed:
            return False
    return bool(nodes)


def _merge_back(domain: Any, target: str, path: str, pulse: Pulse, leaving: Callable[[], object]) -> None:
    """QEMU brings the layer's data down, and writes to what is below it again. One that was begun before goes on."""
    below = headers.facts(path, "qcow2").backing
    base = next(iter(monitor.nodes(domain, below or "")), None)
    if base is None:
        raise HypervisorFailed(detail=f"{path} is written to, and QEMU does not have {below} below it")
    job = f"stillframe-{target}"
    if _job(domain, job) is None:
        top = next(node for node, head in monitor.heads(domain).items() if head == path)
        monitor.ask(domain, "block-commit", **{"job-id": job, "device": top, "base-node": base})
    ready_at, left = None, False
    while found := _job(domain, job):
        done, total = found["current-progress"], found["total-progress"]
        if found["status"] == "ready" and not left:
            ready_at = ready_at or time.monotonic()
            if done >= total or time.monotonic() - ready_at > _REST_S:
                leaving()
                monitor.ask(domain, "job-complete", id=job)
                left = True
        pulse(done, total)
        time.sleep(_POLL_S)
    if path in monitor.heads(domain).values():
        raise HypervisorFailed(detail=f"QEMU did not merge {path} back into {below}")


def _job(domain: Any, name: str) -> dict[str, Any] | None:
    return next((job for job in monitor.ask(domain, "query-jobs") if job["id"] == name), None)
