"""What every hypervisor tells of a VM beyond disks and RAM, and of what it is at."""

from collections.abc import Callable

import pytest

from tests.contracts.stages import Play, quiet, wait_until

PlayWith = Callable[..., Play]

#: An emulated one can only be defined where its emulator is installed.
TPM = "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"
CARD = (
    "<hostdev mode='subsystem' type='pci' managed='no'><source>"
    "<address domain='0x0000' bus='0x7f' slot='0x1f' function='0x7'/></source></hostdev>"
)


def test_devices_of_a_defined_vm_are_told(play_with: PlayWith) -> None:
    """A TPM and a device of the host are known from the definition, before the VM is ever started with them."""
    play = play_with(on=False)
    assert (play.vm.facts().devices.tpm, play.vm.facts().devices.of_host) == (None, ())

    play.vm.define(play.vm.definition().replace("</devices>", f"{TPM}{CARD}</devices>"), {})

    found = play.vm.facts().devices
    assert found.tpm == "passthrough"
    assert found.of_host == ("PCI device 0000:7f:1f.7 of the host", "TPM of the host")
    assert play.vm.facts().persistent


@pytest.mark.parametrize(("agent", "said"), [(True, "connected"), (False, None)])
def test_agent_is_told_without_asking_it(play_with: PlayWith, agent: bool, said: str | None) -> None:
    """Whether the guest has opened the agent's channel is known from outside."""
    assert play_with(agent=agent).vm.facts().devices.agent == said


def test_mirror_is_told(play: Play) -> None:
    """A copy of a disk that somebody began is a block job of that disk, until it ends."""
    play.guest.start_copy(_copy_of(play))
    assert play.vm.facts().devices.mirrors == {"vda": "copy"}
    play.vm.abort_block_job("vda")
    wait_until(lambda: not play.vm.facts().devices.mirrors)


def test_nothing_under_way_is_told_as_nothing(play: Play) -> None:
    """A VM that just runs, one that only a disk is copied of, and one that is off are at no long job."""
    assert play.vm.activity() is None
    play.guest.start_copy(_copy_of(play))
    assert play.vm.activity() is None
    play.vm.abort_block_job("vda")
    play.vm.stop()
    assert play.vm.activity() is None


def test_the_turn_comes_at_once_when_nothing_goes_on(play: Play) -> None:
    """Of a VM that runs, one that is copied and one that is off; its note and its definition stay as they are."""
    play.vm.note("kept")
    before = play.vm.definition()
    play.vm.await_turn(quiet)
    play.guest.start_copy(_copy_of(play))
    play.vm.await_turn(quiet)
    play.vm.abort_block_job("vda")
    play.vm.stop()
    play.vm.await_turn(quiet)
    assert (play.vm.facts().note, play.vm.definition()) == ("kept", before)


def _copy_of(play: Play) -> str:
    """A name for a copy, in a folder that is there."""
    path = f"{play.home()}/copy.qcow2"
    play.images.write_text(path, "")
    play.images.remove(path)
    return path
