"""libvirtd killed between what QEMU did and its own note of it: it tells of layers that are gone, or does not know new ones."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import libvirt
import pytest

from tests.chaos.judge import untidy
from tests.chaos.strike import Hold
from tests.journeys.site import Site, until
from tests.journeys.witness import Witness


@pytest.mark.chaos
def test_the_end_of_a_merge(site: Site, witness: Callable[..., Witness]) -> None:
    """What QEMU does counts: the job ends, snapshots are whole, and the VM can be worked with as ever."""
    vm = witness()
    oldest, doomed, newest = (vm.take("hot") for _ in range(3))
    vm.write()
    status = site.lab.places.run / "libvirt" / "qemu" / f"{vm.name}.xml"
    before = status.read_bytes()
    with Hold(site, "pivot:vda:0") as hold:
        job = site.client.delete_snapshot(doomed.id)
        until(hold.waits, 60, "the end of the commit")
        site.lab.kill_libvirtd()
        status.write_bytes(before)  # as it is when the daemon dies before it writes it anew
        site.lab.start_libvirtd()
        hold.let_go()
    site.succeeded(job, 90)
    vm.runs()
    for shot in (oldest, newest):
        vm.holds(shot)
    again = vm.take("hot")
    vm.delete(newest)
    vm.runs()
    vm.holds(again)
    vm.delete(oldest)
    vm.runs()
    vm.guest.destroy()
    vm.guest.start()
    vm.runs()
    assert untidy(vm, running=True) == []


@pytest.mark.chaos
def test_a_pivot(site: Site, witness: Callable[..., Witness]) -> None:
    """Libvirt cannot be helped, and says so; the VM is sure to start again on what it wrote to, and then the job ends."""
    vm = witness()
    kept, doomed = (vm.take("hot") for _ in range(2))
    vm.write()
    status = site.lab.places.run / "libvirt" / "qemu" / f"{vm.name}.xml"
    before, defined = status.read_bytes(), vm.guest.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    with Hold(site, "repoint:vda:0") as hold:
        job = site.client.delete_snapshot(doomed.id)
        until(hold.waits, 60, "the end of the pivot")
        site.lab.kill_libvirtd()
        status.write_bytes(before)
        site.lab.start_libvirtd()
        vm.guest.machine.connection().defineXML(defined)
        hold.let_go()
    found = site.wait(job, 90)
    assert (found["state"], found["error"]["code"]) == ("stuck", "vm.lost_track"), found["error"]
    digest = vm.write()
    vm.guest.destroy()
    vm.guest.start()
    vm.runs(digest)
    site.client.recover_job(job["id"], "resume")
    site.succeeded(job, 90)
    vm.holds(kept)
    vm.take("hot")
    vm.runs()
    assert untidy(vm, running=True) == []


@pytest.mark.chaos
def test_a_pivot_and_then_qemu_dies(site: Site, witness: Callable[..., Witness]) -> None:
    """The definition names the layer that was merged down; the VM starts on the image that its guest wrote to last."""
    vm = witness()
    kept, doomed = (vm.take("hot") for _ in range(2))
    vm.write()
    status = site.lab.places.run / "libvirt" / "qemu" / f"{vm.name}.xml"
    before, defined = status.read_bytes(), vm.guest.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    top = _head(vm)
    with Hold(site, "repoint:vda:0") as hold:
        job = site.client.delete_snapshot(doomed.id)
        until(hold.waits, 60, "the end of the pivot")
        base = _head(vm)
        site.kill_child(job)
        hold.cut_off()
        hold.let_go()
        site.stack.stop("worker")
        site.lab.kill_libvirtd()
        status.write_bytes(before)
        site.lab.start_libvirtd()
        vm.guest.machine.connection().defineXML(defined)
    digest = vm.write()
    until(lambda: base.stat().st_mtime > top.stat().st_mtime + 3, 30, "writes that only the base has")
    os.kill(site.qemu(vm.guest), signal.SIGKILL)
    vm.guest.wait_off()
    site.mend()
    site.succeeded(job, 120)
    vm.guest.start()
    vm.runs(digest)
    vm.holds(kept)
    vm.take("hot")
    vm.runs()
    assert untidy(vm, running=True) == []


@pytest.mark.chaos
@pytest.mark.parametrize("kind", ["hot", "memory"])
def test_a_cut(site: Site, witness: Callable[..., Witness], kind: str) -> None:
    """QEMU writes to layers that libvirt knows nothing of: the job takes that back, cuts again, and no tick is lost."""
    vm = witness("qcow2", "raw")
    kept = vm.take("hot")
    with Hold(site, "keep_snapshot") as hold, site.lab.daemon_forgets(vm.name):
        job = vm.ask(kind)
        until(hold.waits, 90, "the end of the cut")
        site.kill_child(job)
        hold.cut_off()
        hold.let_go()
        site.stack.stop("worker")
    digest = vm.write()
    site.mend()
    site.succeeded(job, 120)
    vm.runs(digest)
    vm.holds(kept)
    vm.guest.destroy()
    vm.guest.start()
    vm.runs(digest)
    assert untidy(vm, running=True) == []


@pytest.mark.chaos
@pytest.mark.parametrize("is_started", [False, True])
def test_a_cut_and_then_qemu_dies(site: Site, witness: Callable[..., Witness], is_started: bool) -> None:
    """The VM starts on the layers that its guest wrote to last; one that was started without them before is not touched."""
    vm = witness("qcow2", "raw")
    kept = vm.take("hot")
    before = vm.digest
    with Hold(site, "keep_snapshot") as hold, site.lab.daemon_forgets(vm.name):
        job = vm.ask("hot")
        until(hold.waits, 90, "the end of the cut")
        site.kill_child(job)
        hold.cut_off()
        hold.let_go()
        site.stack.stop("worker")
    digest = vm.write()
    os.kill(site.qemu(vm.guest), signal.SIGKILL)
    vm.guest.wait_off()
    if is_started:
        vm.guest.start()
        vm.runs(before)
        vm.digest = digest = before
    site.mend()
    if is_started:
        found = site.wait(job, 120)
        assert (found["state"], found["error"]["code"]) == ("failed", "vm.cut_forgotten"), found
        left = [path for path in vm.guest.folder.rglob("*.left") if path.stat().st_blocks]
        assert len(left) == len(vm.guest.disks)
        for path in left:
            path.unlink()
    else:
        site.succeeded(job, 120)
        vm.guest.start()
    vm.runs(digest)
    vm.holds(kept)
    vm.take("hot")
    vm.runs()
    assert untidy(vm, running=True) == []


def _head(vm: Witness) -> Path:
    """What vda writes to."""
    root = ElementTree.fromstring(vm.guest.domain.XMLDesc(0))
    return Path(root.findall("devices/disk[@device='disk']/source")[0].attrib["file"])
