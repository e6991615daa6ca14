"""libvirtd killed while it works off the end of a merge: its own note of the VM is then not what QEMU has done.

Before it starts again the note is mended (`hypervisor/status_file.py`), in the lab as on a hypervisor.
"""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from lab.machine import Machine
from tests.brakes import slow
from tests.chaos.judge import untidy
from tests.journeys.site import Site, until
from tests.journeys.witness import Witness

_ENDED = re.compile(rb"newstate='(completed|failed|cancelled)'")


@contextmanager
def killed_at_the_end_of_a_merge(site: Site, vm: Witness) -> Iterator[None]:
    """Kills libvirtd in the block once it has noted that a merge ended, and not yet what came of it; starts it at the end.

    QEMU is slow meanwhile: what libvirtd asks of it in between takes long enough to be met.
    """
    note = site.lab.places.run / "libvirt" / "qemu" / f"{vm.name}.xml"
    daemon = site.lab.machine.libvirtd_pid()
    assert daemon
    met, over = threading.Event(), threading.Event()

    def has_ended() -> bool:
        with suppress(OSError):
            return bool(_ENDED.search(note.read_bytes()))
        return False

    def watch() -> None:
        os.sched_setscheduler(
            0, os.SCHED_FIFO, os.sched_param(1)
        )  # before whatever else the machine has to do
        while not over.is_set() and not met.is_set():
            if has_ended():
                os.kill(daemon, signal.SIGSTOP)
                if has_ended():
                    site.lab.kill_libvirtd()
                    met.set()
                else:
                    os.kill(daemon, signal.SIGCONT)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        with slow(site.qemu(vm.guest)):
            yield
            until(met.is_set, 60, "the note")
    finally:
        over.set()
        watcher.join()
    assert has_ended()
    site.lab.start_libvirtd()


@pytest.mark.chaos
@pytest.mark.parametrize("formats", [("qcow2",), ("raw", "qcow2")], ids=str)
def test_a_pivot(site: Site, witness: Callable[..., Witness], formats: tuple[str, ...]) -> None:
    """The VM runs on and is known again, nothing is lost, the job ends, and the next ones are as ever."""
    vm = witness(*formats)
    doomed, newest = (vm.take("hot") for _ in range(2))
    digest = vm.write()
    for shot in (newest, doomed):
        with killed_at_the_end_of_a_merge(site, vm):
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
@pytest.mark.parametrize("formats", [("qcow2",), ("raw", "qcow2")], ids=str)
def test_a_merge_in_the_middle(site: Site, witness: Callable[..., Witness], formats: tuple[str, ...]) -> None:
    """The job ends, and libvirt knows what the VM stands on: all that is asked for next is done as ever."""
    vm = witness(*formats)
    oldest, doomed, kept, newest = (vm.take("hot") for _ in range(4))
    digest = vm.write()
    for shot in (doomed, oldest):
        with killed_at_the_end_of_a_merge(site, vm):
            job = site.client.delete_snapshot(shot.id)
        site.succeeded(job, 90)
        vm.runs(digest)
        assert untidy(vm, running=True) == []
    vm.holds(kept)
    vm.delete(newest)
    vm.delete(kept)
    vm.runs(digest)
    assert untidy(vm, running=True) == []


@pytest.mark.chaos
def test_a_merge_in_the_middle_where_nothing_mends_the_note(
    site: Site, witness: Callable[..., Witness], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libvirt has lost track of the disk, and the next job says so; once the VM was started anew it ends, and nothing is lost."""
    monkeypatch.setattr(Machine, "_mend_notes", lambda self: None)
    vm = witness()
    oldest, doomed, kept, _ = (vm.take("hot") for _ in range(4))
    with killed_at_the_end_of_a_merge(site, vm):
        job = site.client.delete_snapshot(doomed.id)
    site.succeeded(job, 90)
    stuck = site.client.delete_snapshot(oldest.id)
    found = site.wait(stuck, 90)
    assert (found["state"], found["error"]["code"]) == ("stuck", "vm.lost_track"), found["error"]
    digest = vm.write()
    vm.guest.destroy()
    vm.guest.start()
    vm.runs(digest)
    site.client.recover_job(stuck["id"], "resume")
    site.succeeded(stuck, 90)
    vm.runs(digest)
    vm.holds(kept)
    assert untidy(vm, running=True) == []


@pytest.mark.chaos
def test_a_merge_that_is_called_off(site: Site, witness: Callable[..., Witness]) -> None:
    """The VM runs on and is known again, and the snapshot can be deleted still; it is no more to be gone back to."""
    vm = witness(disk_mib=512)
    kept, doomed = (vm.take("hot") for _ in range(2))
    vm.fill(200)
    with killed_at_the_end_of_a_merge(site, vm):
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
