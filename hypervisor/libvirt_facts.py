"""How a libvirt domain looks in Stillframe's words: its state with the reason, its volumes, what others did to it."""

from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import libvirt

from hypervisor import foreign, xml
from hypervisor.devices import devices_of
from hypervisor.headers import chain, look
from hypervisor.port import ForeignSnapshot, ImageFacts, VmFacts, VolumeFacts
from stillframe.errors import HypervisorFailed
from stillframe.states import VmState

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: VmState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: VmState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: VmState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: VmState.PAUSED,
    # Being shut down by its guest: QEMU is still there.
    libvirt.VIR_DOMAIN_SHUTDOWN: VmState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTOFF: VmState.OFF,
    # `on_crash` preserve: its guest panicked, and QEMU is still there with all images open.
    libvirt.VIR_DOMAIN_CRASHED: VmState.PAUSED,
}


def _words(prefix: str) -> dict[int, str]:
    """Words that libvirt itself has for its numbers: VIR_DOMAIN_PAUSED_IOERROR is `ioerror`."""
    names = [name for name in dir(libvirt) if name.startswith(prefix) and not name.endswith("_LAST")]
    return {getattr(libvirt, name): name.removeprefix(prefix).lower() for name in names}


_REASONS = {
    libvirt.VIR_DOMAIN_RUNNING: _words("VIR_DOMAIN_RUNNING_"),
    libvirt.VIR_DOMAIN_PAUSED: _words("VIR_DOMAIN_PAUSED_"),
    libvirt.VIR_DOMAIN_SHUTOFF: _words("VIR_DOMAIN_SHUTOFF_"),
    libvirt.VIR_DOMAIN_CRASHED: _words("VIR_DOMAIN_CRASHED_"),
}


_OPERATIONS = _words("VIR_DOMAIN_JOB_OPERATION_")
_UNDER_WAY = {libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED}


def state_of(domain: Any) -> tuple[VmState, str]:
    """The state and libvirt's word for the reason."""
    number, reason = domain.state()
    state = _STATES.get(number, VmState.OFF)
    if number == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED:
        state = VmState.CRASHED
    return state, _REASONS.get(number, {}).get(reason, "unknown")


def describe(domain: Any, flags: int) -> str:
    """A definition in which volumes of storage pools are the files or devices that they are, as far as libvirt knows."""
    return with_pool_paths(domain.connect(), domain.XMLDesc(flags))


def with_pool_paths(connection: Any, definition: str) -> str:
    """The same for a definition that is known already."""

    def path_of(pool: str, volume: str) -> str | None:
        try:
            return str(connection.storagePoolLookupByName(pool).storageVolLookupByName(volume).path())
        except libvirt.libvirtError:
            return None  # the pool is gone or not started

    return xml.with_pool_paths(definition, path_of)


def activity_of(domain: Any) -> str | None:
    """The word libvirt has for the long job it is at. Asked of libvirt alone, but in a migration, of which QEMU knows more."""
    # Somebody waits for QEMU's answer to something short: to ask now would be to wait behind them.
    if domain.controlInfo(0)[0] not in (libvirt.VIR_DOMAIN_CONTROL_OK, libvirt.VIR_DOMAIN_CONTROL_JOB):
        return None
    try:
        said = domain.jobStats(0)
    except libvirt.libvirtError as error:
        # Where a VM arrives there are no statistics, and that is how libvirt says so.
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID and domain.isActive():
            return "migration_in"
        raise
    if said.get("type") not in _UNDER_WAY:
        return None
    return _OPERATIONS.get(said.get("operation"), "unknown")


def is_on(domain: Any) -> bool:
    """Whether there is a QEMU of it."""
    return bool(domain.isActive())


def facts_of(domain: Any) -> VmFacts:
    """All that is known of a VM. Raises libvirtError, and HypervisorFailed if its definition makes no sense."""
    try:
        return _facts_of(domain)
    except (ValueError, LookupError, SyntaxError) as error:  # ElementTree's ParseError is a SyntaxError
        raise HypervisorFailed(detail=f"cannot understand the definition: {error!r}") from error


def little_of(domain: Any, why: str) -> VmFacts:
    """What can still be told of a VM that cannot be looked at. Raises libvirtError if it is not even known."""
    state, _ = state_of(domain)
    return VmFacts(
        uuid=UUID(domain.UUIDString()),
        name=domain.name(),
        state=state,
        reason="unreadable",
        persistent=bool(domain.isPersistent()),
        memory_bytes=0,
        volumes=(),
        unreadable=why,
    )


def _facts_of(domain: Any) -> VmFacts:
    definition = describe(domain, 0)
    state, reason = state_of(domain)
    managed_save = bool(domain.hasManagedSaveImage(0))
    # Read from the images' headers: libvirt's blockInfo asks QEMU, and waits for whatever that is busy with.
    volumes = {volume: look(volume.path, volume.format) for volume in xml.volumes_of(definition)}
    heads = {volume.target: image for volume, image in volumes.items() if image}
    return VmFacts(
        uuid=UUID(domain.UUIDString()),
        name=domain.name(),
        state=state,
        reason=reason,
        persistent=bool(domain.isPersistent()),
        memory_bytes=xml.memory_bytes_of(definition),
        volumes=tuple(_seen(volume, image) for volume, image in volumes.items()),
        nvram=xml.nvram_of(definition),
        managed_save=managed_save,
        foreign_snapshots=foreign.with_tables(_records(domain), heads),
        note=xml.note_of(definition),
        images=_images(domain, definition, managed_save),
        devices=devices_of(definition),
    )


def _records(domain: Any) -> tuple[ForeignSnapshot, ...]:
    """What libvirt has on record; none of this waits for QEMU."""
    if not domain.snapshotNum(0):
        return ()
    found = []
    for snapshot in domain.listAllSnapshots(0):
        try:
            found.append(foreign.read(snapshot.getXMLDesc(0), bool(snapshot.isCurrent(0))))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
                raise  # else somebody deleted it just now
    return tuple(found)


def _seen(volume: VolumeFacts, image: ImageFacts | None) -> VolumeFacts:
    if image is None:
        return volume
    return replace(volume, virtual_bytes=image.virtual_bytes, encrypted=volume.encrypted or image.encrypted)


def _images(domain: Any, definition: str, managed_save: bool) -> tuple[str, ...]:
    definitions = [definition, describe(domain, libvirt.VIR_DOMAIN_XML_INACTIVE)]
    if managed_save:
        with suppress(libvirt.libvirtError):  # a damaged one names nothing
            saved = domain.managedSaveGetXMLDesc(0)
            definitions.append(with_pool_paths(domain.connect(), saved))
    gone = merged_away(domain, definition)
    named = (path for one in definitions for path in xml.images_of(one))
    return tuple(dict.fromkeys(path for path in named if path not in gone))


def live_chain_of(domain: Any, definition: str, target: str) -> tuple[str, ...]:
    """The images that QEMU has open for a volume of a running VM, head first."""
    gone = merged_away(domain, definition)
    return tuple(path for path in xml.chain_of(definition, target) if path not in gone)


def merged_away(domain: Any, definition: str) -> frozenset[str]:
    """Images that a running VM's live definition lists and that QEMU has left.

    A libvirtd that dies after QEMU has ended a merge, and before it has noted that, lists the merged layers until the VM
    is started anew. By then QEMU has written into the image above them what it stands on now.
    """
    if not is_on(domain):
        return frozenset()
    gone: set[str] = set()
    for volume in xml.volumes_of(definition):
        listed = xml.chain_of(definition, volume.target)
        if len(listed) > 2 and (left := set(listed) - set(_on_disk(volume, listed))):
            # While a merge goes on QEMU is not through, and libvirt has not heard the last of it.
            gone |= set() if domain.blockJobInfo(volume.target, 0) else left
    return frozenset(gone)


def _on_disk(volume: VolumeFacts, listed: tuple[str, ...]) -> tuple[str, ...]:
    """The chain as the headers have it, if it is the listed one without some of its middle; else the listed one."""
    try:
        found = tuple(image.path for image in chain(volume.path, volume.format))
    except HypervisorFailed:
        return listed
    is_part = iter(listed)
    return found if found[-1] == listed[-1] and all(path in is_part for path in found) else listed
