"""What can go wrong on a real libvirt only: others that act in between, a QEMU that hangs, pools, images that lie."""

import os
import signal
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import pytest

from hypervisor import libvirt_cut, libvirt_vm, xml
from hypervisor.port import Source
from lab import Lab
from stillframe.errors import Cancelled, HypervisorFailed, VmBusy
from stillframe.states import VmState
from tests.contracts.stages import Play, RealGuestOnStage, RealStage, Stop, quiet, wait_until

pytestmark = pytest.mark.qemu


@pytest.fixture
def real(machine: Lab) -> Iterator[RealStage]:
    """The real stage."""
    stage = RealStage(machine)
    try:
        yield stage
    finally:
        stage.close()


def test_vm_started_during_a_cold_cut_is_noticed(real: RealStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM that was started on its old images just before its definition changed is not called cut."""
    play = Play(real, real.guest("qcow2", on=False))
    heads = play.heads()
    settle = libvirt_cut.settle

    def late(domain: Any, sources: Mapping[str, Source], folder: str) -> None:
        domain.create()
        settle(domain, sources, folder)

    monkeypatch.setattr(libvirt_cut, "settle", late)
    with pytest.raises(HypervisorFailed, match="somebody else changed"):
        play.vm.cut(play.layers(), None, False, quiet)
    assert play.heads() == heads


def test_vm_defined_anew_during_a_cold_cut_is_noticed(
    real: RealStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VM that was given its old definition again right after its cut is not called cut."""
    play = Play(real, real.guest("qcow2", "raw", on=False))
    settle, old = libvirt_cut.settle, play.vm.definition()

    def undone(domain: Any, sources: Mapping[str, Source], folder: str) -> None:
        settle(domain, sources, folder)
        domain.connect().defineXML(old)

    monkeypatch.setattr(libvirt_cut, "settle", undone)
    with pytest.raises(HypervisorFailed, match="somebody else changed"):
        play.vm.cut(play.layers(), None, False, quiet)


def test_hot_cut_of_some_volumes_only_is_noticed(real: RealStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut after which one of the volumes is not on its layer, whoever did that, is not called one."""
    play = Play(real, real.guest("qcow2", "raw", agent=False))
    request = xml.snapshot_request

    def half(live: str, layers: Mapping[str, Source], memory: str | None) -> str:
        return request(live, {"vda": layers["vda"]}, memory)

    monkeypatch.setattr("hypervisor.xml.snapshot_request", half)
    with pytest.raises(HypervisorFailed, match=r"somebody else changed.* vdb writes to"):
        play.vm.cut(play.layers(), None, False, quiet)


def test_hung_qemu_holds_nobody(real: RealStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A QEMU that stands still ends a call after its time; the list of VMs is there meanwhile, and so is the power cord."""
    play = Play(real, real.guest("qcow2"))
    base = play.heads()["vda"]
    head = play.cut_hot()["vda"]
    assert isinstance(play.guest, RealGuestOnStage)
    pid = play.guest.pid()
    monkeypatch.setattr(libvirt_vm, "LIMIT_S", 1.0)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(HypervisorFailed, match="still works on it"):
            play.vm.start_commit("vda", head.path, base.path)
        assert play.vm.facts().uuid in {vm.uuid for vm in play.host.vms()}
        assert time.monotonic() - began < 3
        monkeypatch.setattr(libvirt_vm, "LIMIT_S", 60.0)
        play.vm.stop()
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: play.vm.facts().state is not VmState.RUNNING)


def test_volume_of_a_pool_is_the_file_it_is(real: RealStage) -> None:
    """A disk named by pool and volume is told by its path, cut and merged back; without the pool it says what it is."""
    play = Play(real, real.guest("qcow2", "raw", on=False))
    own = play.heads()
    folder = own["vda"].path.rsplit("/", 1)[0]
    connection = real.lab.guest(play.guest.name).domain.connect()
    pool = connection.storagePoolCreateXML(
        f"<pool type='dir'><name>images</name><target><path>{folder}</path></target></pool>"
    )
    try:
        definition = play.vm.definition()
        for image in own.values():
            name = image.path.rsplit("/", 1)[1]
            definition = definition.replace(
                f"<source file='{image.path}'/>", f"<source pool='images' volume='{name}'/>"
            )
        definition = definition.replace("disk type='file'", "disk type='volume'")
        connection.defineXML(definition)
        assert play.heads() == own
        assert {one.storage for one in play.vm.facts().volumes} == {"file"}
        play.vm.start()
        assert play.heads() == own
        play.guest.tick()
        layers = play.cut_hot()
        assert play.vm.live_chain("vda") == (layers["vda"].path, own["vda"].path)
        assert set(play.vm.facts().images) == {image.path for image in (*own.values(), *layers.values())}
        play.vm.start_commit("vda", layers["vda"].path, own["vda"].path)
        wait_until(partial(play.is_merged_but_for_the_pivot, "vda"))
        job = play.vm.block_job("vda")
        assert job is not None
        assert job.into == own["vda"].path
        play.vm.pivot("vda")
        assert play.heads() == {"vda": own["vda"], "vdb": layers["vdb"]}
        play.guest.tick()
        play.vm.stop()
        connection.defineXML(definition)
    finally:
        pool.destroy()
    assert {(one.storage, one.path) for one in play.vm.facts().volumes} == {("volume", "")}


def test_long_job_is_told_while_it_lasts(real: RealStage) -> None:
    """While RAM is written out libvirt is said to be at a snapshot, at once, however long the writing takes.

    Who waits for its end hears a cancel at once, and who waits on is let through when it is over.
    """
    play = Play(real, real.guest("qcow2", memory_mib=512, ballast_mib=300))
    other = real.another_host().vm(play.guest.uuid)
    assert other.activity() is None
    memory, layers = f"{play.home()}/memory.save", play.layers()
    play.images.write_text(memory, "")
    stopped: list[int] = []

    def writes() -> bool:
        stopped.extend(_pids_of("libvirt_iohelper", memory))
        return bool(stopped)

    def stop_the_writer() -> None:
        wait_until(writes)
        os.kill(stopped[0], signal.SIGSTOP)

    stopping = threading.Thread(target=stop_the_writer)
    cutting = threading.Thread(target=lambda: play.vm.cut(layers, memory, False, quiet))

    def wait_on() -> None:
        with suppress(VmBusy):  # after half a minute
            other.await_turn(quiet)

    waiting = threading.Thread(target=wait_on)
    stopping.start()
    cutting.start()
    try:
        stopping.join()
        wait_until(lambda: other.activity() == "snapshot")
        began = time.monotonic()
        with pytest.raises(Cancelled):
            other.await_turn(Stop(at=2))
        assert time.monotonic() - began < 10  # libvirt itself would let it wait for 30 s
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive()
    finally:
        os.kill(stopped[0], signal.SIGCONT)
        cutting.join()
    waiting.join()
    assert other.activity() is None
    assert play.heads() == layers


def _pids_of(program: str, word: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if program.encode() in words and word.encode() in words:
                found.append(int(folder.name))
    return found


def test_image_that_lies_hides_no_vm(real: RealStage) -> None:
    """A VM with an image whose header makes no sense is told with the rest of what it has, and no other VM is missing."""
    play, other = Play(real, real.guest("qcow2", on=False)), real.guest("qcow2", on=False)
    folder = Path(play.heads()["vda"].path).parent
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 72, 4, 16, 1 << 20, 0, 0, 0, 0, 0, 0, 0)
    (folder / "lies.qcow2").write_bytes(head + b"\xff\xfe\xfd\xfc")
    os.mkfifo(folder / "pipe")
    for target, name in (("vdy", "lies.qcow2"), ("vdz", "pipe")):
        real.lab.guest(play.guest.name).domain.attachDeviceFlags(
            f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{folder}/{name}'/>"
            f"<target dev='{target}' bus='virtio'/></disk>",
            libvirt.VIR_DOMAIN_AFFECT_CONFIG,
        )
    found = {vm.uuid: vm for vm in play.host.vms()}
    assert [one.virtual_bytes for one in found[play.guest.uuid].volumes] == [64 << 20, 0, 0]
    assert other.uuid in found


def _is_ready(play: Play, target: str) -> bool:
    job = play.vm.block_job(target)
    return job is not None and job.ready


def test_a_guest_that_panicked_and_is_preserved_stands_still(real: RealStage) -> None:
    """Its QEMU has the images open: it is cut and merged as a VM that is on, and nobody lets it go on."""
    guest = real.guest("qcow2", "raw", on=False)
    play = Play(real, guest)
    definition = play.vm.definition().replace("<on_crash>destroy<", "<on_crash>preserve<")
    play.vm.define(definition.replace("</devices>", "<panic model='isa'/></devices>"), play.heads())
    play.vm.start()
    written, _ = play.guest.tick()
    assert isinstance(guest, RealGuestOnStage)
    guest.panic()
    wait_until(lambda: play.vm.facts().state is not VmState.RUNNING)
    heads = play.heads()
    layers = play.layers()
    play.vm.cut(layers, None, False, quiet)
    assert play.heads() == layers
    for target, layer in layers.items():
        play.vm.start_commit(target, layer.path, heads[target].path)
        wait_until(partial(_is_ready, play, target))
        play.vm.pivot(target)
    facts = play.vm.facts()
    assert (facts.state, facts.reason) == (VmState.PAUSED, "panicked")
    assert play.heads() == heads
    play.vm.stop()
    for source in heads.values():
        assert real.counter_in(source) >= written
