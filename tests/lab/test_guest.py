"""What a lab guest promises those who take snapshots of it."""

import os

import pytest

from lab import Guest, Lab, LabError, readback
from lab.__main__ import main

pytestmark = pytest.mark.qemu


def test_ticks_count_up_within_one_boot(guest: Guest) -> None:
    """Ticks count up one by one under one boot id."""
    guest.wait_tick(after=3)
    counters = [tick.counter for tick in guest.ticks()]

    assert list(range(1, len(counters) + 1)) == counters
    assert len({tick.boot_id for tick in guest.ticks()}) == 1


def test_a_tick_is_durable_on_every_disk(guest: Guest) -> None:
    """After a power cut every disk holds at least the last tick seen before it."""
    seen = guest.wait_tick(after=2)
    guest.destroy()

    for target, form in (("vda", "qcow2"), ("vdb", "raw")):
        counter, boot_id = readback.counter(guest.disks[target], form)
        assert counter >= seen.counter
        assert boot_id == seen.boot_id


def test_a_boot_goes_on_from_the_disk(guest: Guest) -> None:
    """After a power cut the next boot has a new boot id and counts on."""
    before = guest.wait_tick()
    guest.destroy()
    guest.start()
    after = guest.wait_tick()

    assert after.counter > before.counter
    assert after.boot_id != before.boot_id


def test_commands_run_inside(guest: Guest) -> None:
    """A command's output comes back, and a failing one raises with what it said."""
    assert guest.sh("echo $((1 + 1))") == "2\n"
    assert guest.read_counter("vdb") >= 1
    with pytest.raises(LabError, match="ended 3: no luck"):
        guest.sh("echo no luck >&2; exit 3")


def test_a_frozen_guest_writes_nothing(guest: Guest) -> None:
    """Freezing runs the hook and stops the ticks; thawing lets them go on."""
    guest.wait_agent()
    mark = guest.serial.end

    assert guest.domain.fsFreeze() == 2
    frozen = len(guest.ticks())
    with pytest.raises(LabError, match="no tick"):
        guest.wait_tick(timeout_s=1)
    assert frozen == len(guest.ticks())
    assert guest.domain.fsThaw() == 2

    guest.wait_tick()
    guest.serial.wait_line("hook thaw", timeout_s=60, start=mark)
    assert b"hook freeze" in guest.serial.text(mark)


def test_disks_without_use_are_passed_over(lab: Lab) -> None:
    """A guest ticks with an unformatted and a read-only disk beside its own."""
    guest = lab.create_guest("odd", ("qcow2", "raw", "raw"), start=False)
    try:
        os.truncate(guest.disks["vdb"], 0)
        os.truncate(guest.disks["vdb"], 64 * 1024 * 1024)
        xml = guest.domain.XMLDesc()
        read_only = xml.replace(
            "<target dev='vdc' bus='virtio'/>", "<target dev='vdc' bus='virtio'/><readonly/>"
        )
        lab.machine.connection().defineXML(read_only)
        guest.start()

        guest.wait_tick()
        assert guest.sh("ls -d /disk/*") == "/disk/vda\n/disk/vdc\n"
        with pytest.raises(LabError, match="Read-only"):
            guest.sh("touch /disk/vdc/x")
    finally:
        guest.remove()


def test_uefi_with_nvram(lab: Lab) -> None:
    """A guest boots under UEFI with an NVRAM of its own, which goes when it goes."""
    guest = lab.create_guest("firm", uefi=True)
    try:
        guest.wait_tick(timeout_s=60)
        assert "runtime" in guest.sh("ls /sys/firmware/efi")
        assert (guest.folder / "nvram.fd").exists()
    finally:
        guest.remove()
    assert not guest.folder.exists()


def test_ballast_fills_memory_and_the_pulse_needs_no_disk(lab: Lab) -> None:
    """Ballast has taken the memory asked for when the guest ticks, and the pulse goes on while the disks are frozen."""
    guest = lab.create_guest("heavy", memory_mib=192, ballast_mib=64, dirty_mib_s=4, pulse_ms=20)
    try:
        guest.wait_tick()
        guest.wait_agent()
        assert int(guest.sh("awk '/MemAvailable/ {print $2}' /proc/meminfo")) < 96 * 1024
        guest.domain.fsFreeze()
        guest.serial.wait_line("pulse", timeout_s=60, start=guest.serial.end)
        guest.domain.fsThaw()
    finally:
        guest.remove()


def test_the_power_button_is_heeded(guest: Guest) -> None:
    """A shutdown by ACPI leaves a clean file system behind."""
    guest.domain.shutdownFlags(1)
    guest.wait_off()

    assert "counter" in readback.list_files(guest.disks["vda"])


def test_the_command_starts_a_guest_that_is_off(
    guest: Guest, lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m lab guest NAME` makes no second one: one that is off boots from its disks, one that runs is left."""
    monkeypatch.setattr("sys.argv", ["lab", "--var", str(lab.places.var), "guest", guest.name])
    before = guest.wait_tick()
    guest.destroy()

    assert main() == 0
    assert f"Guest {guest.name} is there and off" in capsys.readouterr().out
    assert guest.wait_tick().counter > before.counter
    assert main() == 0
    assert "runs already" in capsys.readouterr().out


def test_a_name_is_used_once(guest: Guest, lab: Lab) -> None:
    """A second guest of one name is refused, and so is a name that could become a path."""
    with pytest.raises(LabError, match="already"):
        lab.create_guest(guest.name)
    with pytest.raises(LabError, match="no guest name"):
        lab.create_guest("../up")
