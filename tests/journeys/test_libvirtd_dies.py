"""libvirtd killed and started again in the middle of an operation: the job goes on, and ends right."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brakes import slow
from tests.journeys.site import Site, until
from tests.journeys.witness import Witness

Made = Callable[..., Witness]


def test_while_ram_is_written(site: Site, witness: Made) -> None:
    """Libvirtd dies under a memory snapshot: the VM, which it leaves standing still, runs again, and the snapshot is whole."""
    vm = witness(memory_mib=448, ballast_mib=256)
    mark = vm.mark()
    with slow(site.qemu(vm.guest)):
        job = vm.ask("memory")
        ram = Path(site.wait_step(job, "cut")["steps"][0]["output"]["folder"]) / "memory.save"
        until(lambda: ram.exists() and ram.stat().st_size > 16 << 20, 60, "16 MiB of RAM", 0.002)
        site.lab.kill_libvirtd()
    site.lab.start_libvirtd()
    shot = vm.ready(job, mark, 90)
    assert shot.job["attempt"] == 1
    vm.runs(mark.digest, boot=mark.before.boot_id)
    vm.holds(shot)
    vm.is_tidy()
    vm.write()
    vm.revert(shot)
    vm.runs(mark.digest, boot=mark.before.boot_id)
    again = vm.take("memory")
    vm.holds(again)
    vm.is_tidy()


@pytest.mark.parametrize("down", [False, True], ids=["back-at-once", "back-when-merged"])
def test_while_a_layer_is_merged(site: Site, witness: Made, down: bool) -> None:
    """Libvirtd dies under a merge: QEMU goes on with it, and the job ends it without a loss, also if QEMU was faster."""
    vm = witness(disk_mib=512)
    kept, doomed = vm.take("hot"), vm.take("hot")
    vm.fill(200)
    vm.write()
    job = site.client.delete_snapshot(doomed.id)
    with slow(site.qemu(vm.guest), 0.3):
        until(lambda: vm.guest.domain.blockJobInfo("vda", 0), 60, "the merge", 0.001)
        site.lab.kill_libvirtd()
        if not down:
            site.lab.start_libvirtd()
    if down:
        vm.guest.wait_tick()
    site.lab.start_libvirtd()
    site.succeeded(job, 90)
    vm.runs()
    vm.holds(kept)
    vm.is_tidy()
    vm.delete(kept)
    vm.runs()
    vm.is_tidy()


def test_while_it_is_away_a_request_waits(
    site: Site, witness: Made, measured: Callable[[str, float], None]
) -> None:
    """With libvirtd down a request is accepted, and its job runs as soon as libvirtd is back; changes meanwhile are seen."""
    vm, off = witness(), site.guest(start=False)
    site.seen(off)
    mark = vm.mark()
    site.lab.kill_libvirtd()
    job = vm.ask("hot")
    site.wait_state(job, "running")
    site.lab.start_libvirtd()
    off.remove()
    began = time.monotonic()
    until(lambda: not site.find_vm(off.name), 15, "the VM that went meanwhile")
    measured("seen: a VM that went when libvirtd was back", time.monotonic() - began)
    vm.holds(vm.ready(job, mark))
    vm.runs()
    vm.is_tidy()
