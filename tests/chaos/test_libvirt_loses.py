"""libvirtd killed while it works off the end of a merge: its own note of the VM is then one that it cannot read.

Before it starts again the note is mended (`hypervisor/status_file.py`), in the lab as on a hypervisor.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.brakes import slow
from tests.chaos.judge import untidy
from tests.journeys.site import Site, until
from tests.journeys.witness import Witness


@contextmanager
def killed_with_an_unreadable_note(site: Site, vm: Witness) -> Iterator[None]:
    """Libvirtd is killed in the block as soon as it has noted a mirror without a job, and started at its end."""
    note = site.lab.places.run / "libvirt" / "qemu" / f"{vm.name}.xml"
    daemon = site.lab.machine.libvirtd_pid()
    assert daemon
    met, over = threading.Event(), threading.Event()

    def is_unreadable() -> bool:
        with suppress(OSError):
            return b" job=''" in note.read_bytes()
        return False

    def watch() -> None:
        while not over.is_set() and not met.is_set():
            if is_unreadable():
                os.kill(daemon, signal.SIGSTOP)  # it has milliseconds left until it notes the end
                if is_unreadable():
                    site.lab.kill_libvirtd()
                    met.set()
                else:
                    os.kill(daemon, signal.SIGCONT)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        until(met.is_set, 60, "the note")
    finally:
        over.set()
        watcher.join()
    assert is_unreadable()
    site.lab.start_libvirtd()


@pytest.mark.chaos
@pytest.mark.parametrize("formats", [("qcow2",), ("raw", "qcow2")], ids=str)
def test_a_pivot(site: Site, witness: Callable[..., Witness], formats: tuple[str, ...]) -> None:
    """The VM runs on and is known again, nothing is lost, the job ends, and the next ones are as ever."""
    vm = witness(*formats)
    doomed, newest = (vm.take("hot") for _ in range(2))
    digest = vm.write()
    for shot in (newest, doomed):
        with killed_with_an_unreadable_note(site, vm):
            job = site.client.delete_snapshot(shot.id)
        site.succeeded(job, 90)
        assert vm.guest.is_active
        vm.runs(digest)
        assert untidy(vm, running=True) == []
    kept = vm.take("hot")
    vm.write()
    vm.guest.destroy()
    vm.guest.start()
    vm.runs()
    vm.holds(kept)


@pytest.mark.chaos
def test_a_merge_that_is_called_off(site: Site, witness: Callable[..., Witness]) -> None:
    """The VM runs on and is known again, and the snapshot can be deleted still; it is no more to be gone back to."""
    vm = witness(disk_mib=512)
    kept, doomed = (vm.take("hot") for _ in range(2))
    vm.fill(200)
    with killed_with_an_unreadable_note(site, vm), slow(site.qemu(vm.guest), 0.3):
        job = site.client.delete_snapshot(doomed.id)
        until(lambda: vm.guest.domain.blockJobInfo("vda", 0), 60, "the merge", 0.002)
        site.client.cancel_job(job["id"])
    assert site.wait(job, 90)["state"] == "cancelled"
    assert vm.guest.is_active
    vm.runs()
    vm.holds(kept)
    assert site.client.snapshot(doomed.id)["state"] == "error"
    vm.delete(doomed)
    vm.runs()
    vm.holds(kept)
    assert untidy(vm, running=True) == []
