"""A guest that knows what it held when: snapshots are judged by the data the guest wrote, and by nothing else."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypervisor.qemu_img import QemuImages
from lab import Guest, Tick, readback
from tests.given import given
from tests.journeys.site import Json, Site, until

#: What may lie in a snapshot's folder.
_KEPT = {"manifest.json", "domain.xml", "memory.save", "nvram.fd"}


@dataclass
class Mark:
    """What the guest held: its last tick, and the digest of a file on each of its disks."""

    before: Tick
    digest: str
    after: Tick | None = None


@dataclass
class Shot:
    """A snapshot that is ready, and what it must hold."""

    id: str
    mark: Mark
    job: Json
    row: Json


class Witness:
    """One guest, asked about over HTTP."""

    def __init__(self, site: Site, guest: Guest) -> None:
        self.site = site
        self.guest = guest
        self.name = guest.name
        self.digest = ""
        #: Volume snapshots whose files the test itself has taken away.
        self.taken_away: set[str] = set()

    # --- what is in it ----------------------------------------------------------------------------

    def write(self) -> str:
        """Another random file of 8 KiB on every disk, durable; its digest."""
        words = os.urandom(4096).hex()
        self.guest.wait_agent()
        for target in self.guest.disks:
            self.guest.sh(f"echo {words} > /disk/{target}/marker && sync /disk/{target}/marker")
        self.digest = hashlib.sha256(f"{words}\n".encode()).hexdigest()
        return self.digest

    def fill(self, mib: int, target: str = "vda") -> None:
        """That much data on a disk, durable, and not of zeros: those would not be copied."""
        piece = "head -c 1048576 /dev/urandom > /run/piece"
        pieces = f"for one in $(seq {mib}); do cat /run/piece; done > /disk/{target}/bulk"
        self.guest.sh(f"{piece} && {pieces} && sync /disk/{target}/bulk", timeout_s=90)

    def mark(self) -> Mark:
        """A new file, and where the guest stands."""
        digest = self.write()
        return Mark(self.guest.wait_tick(), digest)

    def power_off(self) -> Mark:
        """Cuts its power; what its disks hold, once the API has seen it."""
        self.guest.destroy()
        until(lambda: self.site.seen(self.guest)["state"] == "off", 10, "off")
        return Mark(self.guest.ticks()[-1], self.digest)

    # --- what is asked ----------------------------------------------------------------------------

    def ask(self, kind: str | None, **words: Any) -> Json:
        """A snapshot; its job."""
        return self.site.client.create_snapshot(self.name, type=kind, **words)

    def take(self, kind: str | None, mark: Mark | None = None, **words: Any) -> Shot:
        """A snapshot that is ready."""
        mark = mark or self.mark()
        return self.ready(self.ask(kind, **words), mark)

    def ready(self, job: Json, mark: Mark, timeout_s: float = 60) -> Shot:
        """The snapshot of a job that must succeed."""
        job = self.site.succeeded(job, timeout_s)
        row = self.site.client.snapshot(job["snapshot_id"])
        if self.guest.is_active:
            mark.after = self.guest.wait_tick()
        return Shot(row["id"], mark, job, row)

    def revert(self, shot: Shot, **words: Any) -> Json:
        """Back to it."""
        return self.site.succeeded(self.site.client.revert_snapshot(shot.id, **words))

    def delete(self, shot: Shot) -> Json:
        """One less."""
        return self.site.succeeded(self.site.client.delete_snapshot(shot.id))

    # --- what must be so --------------------------------------------------------------------------

    def holds(self, shot: Shot) -> None:
        """On every disk the snapshot's layers read as what the guest had written then."""
        counters = []
        for volume in self.site.client.snapshot(shot.id)["volumes"]:
            path, form = Path(volume["layer"]), _form(volume["layer"])
            counters.append(readback.counter(path, form)[0])
            marker = readback.read_file(path, "/marker", form)
            assert hashlib.sha256(marker).hexdigest() == shot.mark.digest, volume
        assert counters, "the snapshot has no volumes"
        assert min(counters) >= shot.mark.before.counter
        assert max(counters) - min(counters) <= 1
        if shot.mark.after:
            assert max(counters) <= shot.mark.after.counter

    def runs(self, digest: str | None = None, boot: str | None = None) -> Tick:
        """The guest runs, neither paused nor frozen, and its files are those of `digest` (the last ones)."""
        libvirt_running = 1
        assert self.guest.domain.state()[0] == libvirt_running, self.guest.domain.state()
        tick = self.guest.wait_tick(timeout_s=60)
        self.guest.wait_agent(timeout_s=60)
        for target in self.guest.disks:
            said = self.guest.sh(f"sha256sum /disk/{target}/marker && sync /disk/{target}/marker")
            assert said.split()[0] == (digest or self.digest), target
        assert boot is None or tick.boot_id == boot
        # A tick is fsynced to every disk: a frozen or full one would print none.
        return self.guest.wait_tick(after=tick.counter)

    def runs_bare(self) -> Tick:
        """The guest runs; nothing is said of what is in it."""
        return self.guest.wait_tick(after=self.guest.wait_tick(timeout_s=60).counter)

    def is_tidy(self) -> None:
        """Nothing works on the guest's images any more, and each file there is needed by what the API shows."""
        until(lambda: not self.site.qemu_imgs(self.guest), 5, "the end of qemu-img")
        for target in self.guest.disks:
            assert not (self.guest.is_active and self.guest.domain.blockJobInfo(target, 0)), target
        needed = self._needed()
        found = {
            os.path.join(folder, name) for folder, _, names in os.walk(self.guest.folder) for name in names
        }
        assert found == needed, {"orphans": found - needed, "missing": needed - found}

    def _needed(self) -> set[str]:
        needed = {str(path) for path in self.guest.folder.glob("nvram.fd")}
        heads = [str(path) for path in self.guest.disks.values()]
        for row in self.site.client.every(self.site.client.snapshots, vm=self.name):
            if row["state"] != "ready":
                assert row["state"] in {"deleted", "error"}, row
                continue
            heads += [volume["layer"] for volume in row["volumes"]]
            (folder,) = self.guest.folder.rglob(f"{row['id']}.snapshot")
            kept = {path.name for path in folder.iterdir()}
            assert kept <= _KEPT, kept
            assert ("memory.save" in kept) == (row["type"] == "memory")
            needed |= {str(folder / name) for name in kept}
        for head in heads:
            needed |= {image.path for image in QemuImages().chain(head, _form(head))}
        for volume in self.site.client.every(self.site.client.volumes, vm=self.name):
            if volume["state"] == "ready" and volume["id"] not in self.taken_away:
                path = given(volume["path"])
                needed |= {path, path.removesuffix("qcow2") + "json"}
        return needed


def _form(path: str) -> str:
    return "raw" if path.endswith(".raw") else "qcow2"
