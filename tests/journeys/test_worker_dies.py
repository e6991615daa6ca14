"""A worker killed in the middle of each operation: the job is taken up again and ends right, whatever was cut short."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hypervisor.qemu_img import QemuImages
from lab import readback
from tests.brakes import slow, stopped
from tests.given import given
from tests.journeys.site import Json, Site, until
from tests.journeys.witness import Shot, Witness

#: The child that carries the job, alone; or the worker with all that belongs to it, which is then started again.
Measured = Callable[[str, float], None]
Made = Callable[..., Witness]


class Death:
    """Kills whoever carries a job, and measures how long it takes until it is carried again."""

    def __init__(self, site: Site, of: str, measured: Measured) -> None:
        self.site = site
        self.of = of
        self.measured = measured

    def __call__(self, job: Json) -> None:
        """Returns once the job runs again."""
        self.strikes(job)
        self.is_survived(job)

    def strikes(self, job: Json) -> None:
        """Kills, and nothing else."""
        if self.of == "child":
            self.main = self.site.worker_pid()
            self.since = self.site.kill_child(job)
        else:
            self.site.kill_worker()

    def is_survived(self, job: Json) -> None:
        """Waits until the job runs again."""
        if self.of == "worker":
            self.since = self.site.start_worker()
        again = self.site.when(job, "job.taken_over")
        if self.of == "child":
            assert self.site.worker_pid() == self.main
        what = "child killed -> job runs again" if self.of == "child" else "worker started -> job runs again"
        self.measured(f"{what} ({job['kind']})", again - self.since)


# A child killed alone is found by the keeper's sign, seconds later: the slower half of the same promise.
@pytest.fixture(params=[pytest.param("child", marks=pytest.mark.slow), "worker"])
def death(request: pytest.FixtureRequest, site: Site, measured: Measured) -> Death:
    return Death(site, request.param, measured)


def was_taken_over(site: Site, job: Json, timeout_s: float = 90) -> Json:
    """The job, which has to end well, in its second attempt."""
    job = site.succeeded(job, timeout_s)
    assert job["attempt"] == 2
    assert [event for event in site.story(job) if event.startswith("job.")] == [
        "job.queued",
        "job.started",
        "job.taken_over",
        "job.succeeded",
    ]
    return job


def memory_file(job: Json) -> Path:
    """Where the RAM of a memory snapshot goes, as its first step has decided."""
    (seen,) = (step["output"] for step in job["steps"] if step["name"] == "check_vm")
    return Path(seen["folder"]) / "memory.save"


def grown(path: Path, mib: int) -> bool:
    """Whether a file has come so far."""
    return path.exists() and path.stat().st_size >= mib << 20


def qemu_or_none(site: Site, vm: Witness) -> int | None:
    """The VM's QEMU if it has one."""
    try:
        return site.qemu(vm.guest)
    except StopIteration:
        return None


@pytest.fixture
def big(witness: Made) -> Witness:
    """A guest with 256 MiB of RAM that compress to nothing less."""
    return witness(memory_mib=448, ballast_mib=256)


@pytest.mark.parametrize("overlap", [False, True], ids=["then-quick", "still-going"])
def test_memory_snapshot_half_written(site: Site, big: Witness, death: Death, overlap: bool) -> None:
    """Killed while RAM is being written, also if libvirt still writes when the job is taken up, the snapshot becomes whole."""
    mark = big.mark()
    with slow(site.qemu(big.guest)):
        job = big.ask("memory")
        path = memory_file(site.wait_step(job, "cut"))
        until(lambda: grown(path, 32), 60, "32 MiB of RAM on disk", 0.002)
        assert not overlap or not grown(path, 250)
        if overlap:
            death(job)
    if not overlap:
        death(job)
    was_taken_over(site, job)
    shot = big.ready(job, mark)
    assert (shot.row["state"], shot.row["consistency"]) == ("ready", "memory")
    boot = mark.before.boot_id
    big.runs(mark.digest, boot=boot)
    big.holds(shot)
    big.is_tidy()
    big.write()
    big.revert(shot)
    big.runs(mark.digest, boot=boot)
    again = big.take("memory")
    big.holds(again)
    big.is_tidy()


def test_revert_half_restored(site: Site, big: Witness, death: Death) -> None:
    """Killed while RAM comes back, the VM ends in the snapshot's instant all the same, and can be sent back again."""
    shot = big.take("memory")
    boot = shot.mark.before.boot_id
    big.write()
    job = site.client.revert_snapshot(shot.id)
    site.wait_step(job, "bring_back")
    qemu = until(lambda: qemu_or_none(site, big), 30, "the new QEMU", 0.002)
    with slow(qemu):
        death(job)
    was_taken_over(site, job)
    big.runs(shot.mark.digest, boot=boot)
    big.holds(shot)
    big.is_tidy()
    big.write()
    big.revert(shot)
    big.runs(shot.mark.digest, boot=boot)


@pytest.mark.parametrize(
    ("death", "before"), [("child", "stop_vm"), ("worker", "bring_back")], indirect=["death"]
)
def test_revert_of_disks(site: Site, witness: Made, death: Death, before: str) -> None:
    """Killed when a step has acted and nobody has written it down, the VM ends on the snapshot's data all the same."""
    vm = witness()
    shot = vm.take("hot")
    vm.write()
    with site.nobody_begins(before) as is_waited_for:
        job = site.client.revert_snapshot(shot.id)
        until(is_waited_for, 30, f"the worker before {before}")
        assert before not in [step["name"] for step in site.job(job)["steps"]]
        death.strikes(job)
    death.is_survived(job)
    was_taken_over(site, job)
    vm.runs(shot.mark.digest)
    vm.holds(shot)
    vm.is_tidy()
    vm.write()
    vm.revert(shot)
    vm.runs(shot.mark.digest)


@pytest.fixture
def full(witness: Made) -> Witness:
    """A guest with a disk that has 200 MiB of data on it."""
    vm = witness(disk_mib=512)
    vm.fill(200)
    return vm


def test_extract_half_copied(site: Site, full: Witness, death: Death) -> None:
    """Killed while a volume is being copied, no qemu-img and no half image is left, and the copy becomes whole."""
    shot = full.take("hot")
    job = site.wait_step(site.client.extract_volume(shot.id, "vda"), "copy_volume")
    path = Path(job["steps"][0]["output"]["path"])
    part = path.with_name(f"{path.name}.part")
    until(lambda: grown(part, 8), 30, "8 MiB of the copy", 0.002)
    (copying,) = site.qemu_imgs(full.guest)
    with stopped(copying):
        assert not path.exists()
        death.strikes(job)
        assert site.qemu_imgs(full.guest) == []
    death.is_survived(job)
    was_taken_over(site, job)
    is_whole_copy(site, job, shot)
    full.is_tidy()
    full.runs()
    again = site.succeeded(site.client.extract_volume(shot.id, "vda"))
    site.kill_worker()
    site.start_worker()
    is_whole_copy(site, again, shot)
    full.is_tidy()


def is_whole_copy(site: Site, job: Json, shot: Shot) -> None:
    """The volume snapshot that a job has made stands alone and holds what the snapshot holds."""
    volume = site.client.volume(job["volume_snapshot_id"])
    path = Path(given(volume["path"]))
    assert volume["state"] == "ready"
    # Of a large image it comes after the job.
    said = until(lambda: site.client.volume(volume["id"])["sha256"], 30, "the checksum")
    assert said == hashlib.sha256(path.read_bytes()).hexdigest()
    assert QemuImages().chain(str(path), "qcow2")[0].backing is None
    marker = readback.read_file(path, "/marker")
    assert hashlib.sha256(marker).hexdigest() == shot.mark.digest


def test_live_merge_half_done(site: Site, witness: Made, death: Death) -> None:
    """Killed while QEMU merges a layer, the merge goes on by itself, is found again, and is ended without a loss."""
    vm = witness(disk_mib=512)
    kept, doomed = vm.take("hot"), vm.take("hot")
    vm.fill(200)
    vm.write()
    job = site.client.delete_snapshot(doomed.id)
    with slow(site.qemu(vm.guest), 0.3):
        until(lambda: is_merging(vm), 60, "the merge", 0.001)
        death.strikes(job)
        assert vm.guest.domain.blockJobInfo("vda", 0), "the merge was to be in its middle"
    death.is_survived(job)
    was_taken_over(site, job)
    vm.runs()
    vm.holds(kept)
    vm.is_tidy()
    vm.delete(kept)
    vm.runs()
    vm.is_tidy()


def is_merging(vm: Witness) -> bool:
    """Whether QEMU has merged a part, but not all."""
    said = vm.guest.domain.blockJobInfo("vda", 0)
    return bool(said) and said["cur"] < said["end"]


@pytest.mark.parametrize("death", ["child"], indirect=True)
def test_offline_merge_half_done(site: Site, witness: Made, death: Death) -> None:
    """Killed while qemu-img merges a layer of a VM that is off, nothing of qemu-img is left, and the merge is done again."""
    vm = witness(disk_mib=512)
    kept, doomed = vm.take("hot"), vm.take("hot")
    vm.fill(200)
    vm.write()
    vm.power_off()
    job = site.client.delete_snapshot(doomed.id)
    (merging,) = until(lambda: site.qemu_imgs(vm.guest, "commit"), 30, "qemu-img commit", 0.001)
    with stopped(merging):
        death.strikes(job)
        assert site.qemu_imgs(vm.guest) == []
    death.is_survived(job)
    was_taken_over(site, job)
    vm.holds(kept)
    vm.is_tidy()
    vm.guest.start()
    vm.runs()
    vm.delete(kept)
    vm.runs()
    vm.is_tidy()
