"""What a definition says of devices, in words for people."""

import pytest

from hypervisor.devices import Devices, devices_of


def _with(devices: str) -> Devices:
    return devices_of(f"<domain><name>web</name><devices>{devices}</devices></domain>")


PCI = "<source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source>"
HELD = {
    f"<hostdev mode='subsystem' type='pci' managed='yes'>{PCI}</hostdev>": "PCI device 0000:3b:00.1 of the host",
    "<hostdev mode='subsystem' type='mdev'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source>"
    "</hostdev>": "mediated device c2177883-f1bb-47f0-914d-32a22e3a8804 of the host",
    f"<interface type='hostdev'>{PCI}</interface>": "network card 0000:3b:00.1 of the host",
    "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>": "network card /dev/vhost-vdpa-0 of the host",
    "<filesystem type='mount'><driver type='virtiofs'/><source dir='/srv'/><target dir='shared'/></filesystem>": (
        "folder of the host (shared)"
    ),
    "<shmem name='ivshmem0'><model type='ivshmem-plain'/></shmem>": "memory shared with others (ivshmem0)",
    "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>": "TPM of the host",
}


@pytest.mark.parametrize(("device", "words"), HELD.items())
def test_devices_of_the_host_are_named(device: str, words: str) -> None:
    """Whatever libvirt or QEMU would not save RAM with is named, by the address an administrator knows it by."""
    assert _with(device).of_host == (words,)


def test_devices_with_state_elsewhere_are_told_apart() -> None:
    """A USB device of the host and a vhost-user card do not keep RAM from being saved."""
    found = _with(
        "<hostdev mode='subsystem' type='usb'><source><vendor id='0x046d'/><product id='0xc52b'/></source></hostdev>"
        "<interface type='vhostuser'><source type='unix' path='/s' mode='client'/></interface>"
    )
    assert found.of_host == ()
    assert found.outside == ("USB device 046d:c52b of the host", "vhost-user network card")


def test_tpm_agent_and_mirrors_are_read() -> None:
    """The backend of the TPM, the state of the agent's channel, and block jobs that mirror a disk."""
    found = _with(
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
        "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>"
        "<disk type='file'><target dev='vda'/><mirror type='file' job='active-commit' ready='yes'/></disk>"
        "<disk type='file'><target dev='vdb'/><mirror type='file' job='copy'/></disk><disk><target dev='vdc'/></disk>"
    )
    assert (found.tpm, found.agent, found.of_host) == ("emulator", "connected", ())
    assert found.mirrors == {"vda": "active_commit", "vdb": "copy"}


def test_plain_vm_has_none() -> None:
    """A VM of disks and RAM only has nothing of it; a channel nobody has opened is disconnected."""
    assert _with("") == Devices()
    assert _with("<channel><target name='org.qemu.guest_agent.0'/></channel>").agent == "disconnected"
