"""No room: the file system of the images is full, before a job or in its middle, or while the guest writes."""

import errno
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt
import pytest

from lab.places import free_port
from lab.stack import Stack
from tests.chaos.judge import untidy
from tests.chaos.strike import Hold
from tests.journeys.site import PROGRAMS, Json, Site, until
from tests.journeys.witness import Witness

pytestmark = pytest.mark.chaos

MIB = 1 << 20
ROOM_MIB = 700
_BLOCK = 4096


def run(*words: str) -> None:
    """A command that has to work."""
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture(scope="module")
def tight_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose images lie on a small file system of their own."""
    var = tmp_path_factory.mktemp("tight")
    (var / "stack.env").write_text(f"STILLFRAME_LISTEN=127.0.0.1:{free_port()}\n")
    stack = Stack(var, f"tight-{uuid.uuid4().hex[:8]}")
    stack.lab.places.prepare()
    disk = var / "small.ext4"
    with disk.open("wb") as file:
        os.truncate(file.fileno(), ROOM_MIB * MIB)
    run("mkfs.ext4", "-q", "-F", "-m", "0", str(disk))
    # Before libvirtd starts: its own world does not hear of what is mounted later.
    run("mount", "-o", "loop", str(disk), str(stack.lab.images))
    stack.lab.images.chmod(0o755)
    (stack.lab.images / "lost+found").rmdir()
    try:
        stack.up(PROGRAMS)
        yield stack
    finally:
        for name in PROGRAMS:
            stack.stop(name, signal.SIGKILL)
        stack.lab.stop()
        run("umount", str(stack.lab.images))
        stack.lab.remove()


@pytest.fixture
def site(tight_stack: Stack) -> Iterator[Site]:
    """The same as everywhere, with little room."""
    site = Site(tight_stack)
    site.mend()
    site.listen()
    yield site
    site.mend()
    filler(site).unlink(missing_ok=True)
    site.remove_guests()
    site.close()


@pytest.fixture
def vm(site: Site) -> Witness:
    """A running guest with a file on its disk."""
    guest = site.guest(disk_mib=256)
    guest.wait_tick(timeout_s=90)
    site.seen(guest)
    vm = Witness(site, guest)
    vm.write()
    return vm


def filler(site: Site) -> Path:
    """What takes the room away."""
    return site.lab.images / ".filler"


@contextmanager
def room(site: Site, left_bytes: int) -> Iterator[None]:
    """Within the block there is only so much room."""
    found = os.statvfs(site.lab.images)
    piece = found.f_bavail * found.f_frsize - left_bytes
    with filler(site).open("wb") as file:
        while piece >= _BLOCK:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, piece)
            except OSError as full:  # some room goes into the file system's own words
                if full.errno != errno.ENOSPC:
                    raise
            piece = piece // 2 if left_bytes == 0 else 0
    try:
        yield
    finally:
        filler(site).unlink()


def is_as_before(vm: Witness, job: Json) -> None:
    """The job has failed and says that there is no room; nothing of it is left, and the guest has not noticed."""
    assert job["state"] == "failed", job
    said = str(job["error"]).lower()
    assert "space" in said, said
    vm.runs()
    assert untidy(vm, running=True) == []


def test_no_room_for_a_layer(site: Site) -> None:
    """A snapshot for whose layers there is no room fails before the VM is touched, and can be taken once there is."""
    guest = site.guest("raw", start=False)
    with (guest.folder / "vda.raw").open("r+b") as image:  # all its room is its own: the guest needs none
        os.posix_fallocate(image.fileno(), 0, os.fstat(image.fileno()).st_size)
    guest.start()
    guest.wait_tick(timeout_s=90)
    site.seen(guest)
    vm = Witness(site, guest)
    vm.write()
    with room(site, 0):
        is_as_before(vm, site.wait(vm.ask("hot")))
    vm.holds(vm.take("hot"))
    assert untidy(vm, running=True) == []


@pytest.mark.parametrize("when", ["make_layers", "cut"])
def test_no_room_for_ram(site: Site, vm: Witness, when: str) -> None:
    """The room goes after it was looked for: the VM runs on as if nothing had been, and the RAM's file is gone."""
    with Hold(site, when) as hold:
        job = vm.ask("memory")
        until(hold.waits, 60, f"the worker before {when}")
        with room(site, 20 * MIB):
            hold.let_go()
            is_as_before(vm, site.wait(job, 120))
    shot = vm.take("memory")
    vm.write()
    vm.revert(shot)
    vm.runs(shot.mark.digest, boot=shot.mark.before.boot_id)


def test_no_room_for_a_copy(site: Site, vm: Witness) -> None:
    """An extract that runs out of room leaves nothing behind, and works once there is room."""
    vm.fill(60)
    shot = vm.take("hot")
    with Hold(site, "copy_volume") as hold:
        job = site.client.extract_volume(shot.id, "vda")
        until(hold.waits, 60, "the worker before the copy")
        with room(site, 20 * MIB):
            hold.let_go()
            is_as_before(vm, site.wait(job, 120))
    site.succeeded(site.client.extract_volume(shot.id, "vda"), 120)
    vm.holds(shot)
    assert untidy(vm, running=True) == []


def reason(vm: Witness) -> int:
    """Why libvirt says the VM is paused; 0 if it is not."""
    state, why = vm.guest.domain.state()
    return int(why) if state == libvirt.VIR_DOMAIN_PAUSED else 0


def test_no_room_while_the_guest_writes(site: Site, vm: Witness) -> None:
    """QEMU pauses a VM whose layer cannot grow. No job resumes it or harms it; resumed by a person, it goes on without a loss."""
    kept, doomed = vm.take("hot"), vm.take("hot")
    digest = vm.write()
    with room(site, 4 * MIB):
        vm.guest.sh("(cat /dev/urandom | head -c 40000000 > /disk/vda/bulk; sync) >/dev/null 2>&1 &")
        until(lambda: reason(vm) == libvirt.VIR_DOMAIN_PAUSED_IOERROR, 90, "the pause by QEMU")
        until(lambda: site.seen(vm.guest)["state"] == "paused", 20, "the pause in the API")
        job = site.wait(vm.ask("hot"), 120)
        assert reason(vm) == libvirt.VIR_DOMAIN_PAUSED_IOERROR, job
    deleted = site.client.delete_snapshot(doomed.id)
    site.succeeded(deleted, 180)
    assert reason(vm) == libvirt.VIR_DOMAIN_PAUSED_IOERROR
    vm.guest.domain.resume()
    vm.runs(digest)
    vm.holds(kept)
    assert untidy(vm, running=True) == []
