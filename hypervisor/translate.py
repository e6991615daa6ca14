"""libvirt's errors in Stillframe's words: the only place that knows libvirt's numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import libvirt

from stillframe.errors import (
    AgentUnresponsive,
    HostLost,
    HypervisorFailed,
    StillframeError,
    VmBusy,
    VmGone,
)

#: Errors of the client side: the wire, not the machine, failed.
_WIRE_DOMAINS = {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}
_WIRE_CODES = {libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_RPC}
#: A lock that another call holds for longer than libvirt waits (30 s), or a block job on the disk.
_BUSY = {libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_BLOCK_COPY_ACTIVE}
#: The last two are libvirt 11.2's finer words for the first.
_AGENT = {
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", -1),
    getattr(libvirt, "VIR_ERR_AGENT_COMMAND_FAILED", -1),
}
#: What libvirt says, under several codes, when the agent is missing, disabled or refuses.
_AGENT_WORDS = ("guest agent is not", "QEMU agent command")


@contextmanager
def translated(vm: object = "", host: str = "") -> Iterator[None]:
    """Lets errors of libvirt out as errors of `stillframe.errors`."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise in_our_words(error, vm, host) from error


def in_our_words(error: libvirt.libvirtError, vm: object = "", host: str = "") -> StillframeError:
    """One of libvirt's errors as one of ours; what libvirt said is kept as it is."""
    code, domain = error.get_error_code(), error.get_error_domain()
    said = error.get_error_message() or str(error)
    evidence = {"libvirt_code": code, "libvirt_domain": domain}
    if domain in _WIRE_DOMAINS or code in _WIRE_CODES:
        return HostLost(detail=said, **evidence)
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return VmGone(vm=vm, host=host, **evidence)
    if code in _BUSY:
        return VmBusy(vm=vm, detail=said, **evidence)
    if code == libvirt.VIR_ERR_OPERATION_ABORTED:
        return HypervisorFailed(detail=f"somebody else aborted it: {said}", **evidence)
    if code in _AGENT or any(words in said for words in _AGENT_WORDS):
        return AgentUnresponsive(vm=vm, detail=said, **evidence)
    return HypervisorFailed(detail=said, **evidence)
