"""The acts of the tour, each ending in a proof out of the guest's own mouth: its counter, its boot id, its files.

The guest writes a counter to every disk five times a second and prints it once it is durable. The boot id is new after
every boot, so a guest that has it still was not restarted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from lab import readback
from lab.errors import LabError
from lab.guest import Guest
from lab.serial import Tick
from lab.stage import Stage, say
from stillframe.client import Producer
from stillframe.client.answers import Snapshot

LETTER = "/disk/vda/letter.txt"
ARCHIVE = "/disk/vdb/archive"
ARCHIVE_MIB = 24
TARGETS = ("vda", "vdb", "vdc")


@dataclass
class Tour:
    """One tour on one guest. The acts are played in the order in which they stand here."""

    stage: Stage
    client: Producer
    guest: Guest
    #: The ticks around the memory snapshot, and the checksum of the file that is lost and found again.
    before: Tick = field(init=False)
    after: Tick = field(init=False)
    archive: str = field(init=False)

    @property
    def vm(self) -> str:
        """The VM's name."""
        return self.guest.name

    def play(self) -> None:
        """All acts; raises NotProven or LabError at the first that fails."""
        self.look()
        self.keep_memory()
        self.go_back()
        self.keep_disks()
        self.extract()
        self.delete_the_middle_one()
        self.look_back()

    def look(self) -> None:
        """The VM as Stillframe sees it, and as it sees itself."""
        self.stage.act("A running VM with three disks, one of them raw")
        self.stage.run("vm", "show", self.vm)
        tick = self.guest.wait_tick()
        say(f"   the guest says: counter {tick.counter}, boot id {tick.boot_id}")

    def keep_memory(self) -> None:
        """A memory snapshot: the guest goes on in the same boot."""
        self.stage.act("Keep everything: RAM and disks of one instant")
        self._write(LETTER, "All is well.")
        self.before = self.guest.wait_tick()
        self._create("before-upgrade", "memory")
        self.after = self.guest.wait_tick()
        pause = self._snapshot("before-upgrade")["pause_ms"]
        self.stage.prove(
            self.after.boot_id == self.before.boot_id and pause is not None,
            f"after a pause of {pause or 0:g} ms the guest goes on in the same boot, counter {self.after.counter}",
        )

    def go_back(self) -> None:
        """Damage, then back: the same boot, the counter of the snapshot, the file whole."""
        self.stage.act("Damage it, and go back")
        self._write(LETTER, "The upgrade went wrong.")
        damaged = self.guest.wait_tick(after=self.after.counter + 10)
        say(f"   the guest says: counter {damaged.counter}; its letter reads: {self._letter()}\n")
        mark = self.guest.serial.end
        self.stage.run("snapshot", "revert", f"{self.vm}/before-upgrade", "--yes", "--wait")
        last, first = self._turn(mark)
        self.stage.prove(
            first.boot_id == self.before.boot_id,
            f"the boot id is still {first.boot_id}: the guest was not restarted",
        )
        self.stage.prove(
            self.before.counter <= first.counter <= self.after.counter + 1,
            f"the counter stood at {last.counter} and went on with {first.counter}; the snapshot was taken "
            f"between {self.before.counter} and {self.after.counter}",
        )
        self.stage.prove(self._letter() == "All is well.", f"its letter reads: {self._letter()}")

    def keep_disks(self) -> None:
        """A hot, quiesced snapshot of three disks, read offline: one instant on all of them."""
        self.stage.act("Keep the disks of a running VM, all three in one instant")
        self.guest.sh(f"dd if=/dev/urandom of={ARCHIVE} bs=1M count={ARCHIVE_MIB} 2>/dev/null; sync")
        self.archive = self.guest.sh(f"sha256sum {ARCHIVE}").split()[0]
        self._write(LETTER, "monday")
        before, mark = self.guest.wait_tick(), self.guest.serial.end
        self._create("monday", "hot", "--quiesce", "require")
        self.stage.run("snapshot", "show", f"{self.vm}/monday")
        after = self.guest.wait_tick()
        found = self._snapshot("monday")
        said = self.guest.serial.text(mark).decode(errors="replace")
        self.stage.prove(
            "hook freeze" in said and "hook thaw" in said and after.boot_id == before.boot_id,
            f"the guest froze and thawed its file systems and goes on; consistency reached: {found['consistency']}",
        )
        counters = [readback.counter(*layer)[0] for layer in self._layers("monday")]
        self.stage.prove(
            before.counter <= min(counters)
            and max(counters) <= after.counter
            and max(counters) - min(counters) <= 1,
            f"the three frozen disks, read offline, hold the counters {counters}: one instant",
        )

    def extract(self) -> None:
        """One volume made a standalone image while the guest goes on, and read without it."""
        self.stage.act("Take one disk out of the snapshot")
        self.guest.sh(f"rm {ARCHIVE}; sync")
        say("   the guest has deleted its archive meanwhile\n")
        name = f"{self.vm}-archive"
        self.stage.run("snapshot", "extract", f"{self.vm}/monday", "vdb", "--name", name, "--wait")
        self.stage.run("volume", "show", name)
        (volume,) = (one for one in self.client.every(self.client.volumes, vm=self.vm) if one["name"] == name)
        image = Path(volume["path"] or "")
        with image.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.stage.prove(sha256 == volume["sha256"], f"the image's SHA-256 is {sha256[:16]}..., as recorded")
        archive = readback.read_file(image, "/" + ARCHIVE.rpartition("/")[2])
        self.stage.prove(
            hashlib.sha256(archive).hexdigest() == self.archive,
            f"the archive of {len(archive) >> 20} MiB, read out of it without the VM, is as the guest wrote it",
        )

    def delete_the_middle_one(self) -> None:
        """The middle one of three goes while the guest runs; the others hold what they held."""
        self.stage.act("Delete the middle one of three while the VM runs")
        for day in ("tuesday", "wednesday"):
            self._write(LETTER, day)
            self._create(day, "hot", "--quiesce", "never")
        self._write(LETTER, "thursday")
        before, files = self.guest.wait_tick(), self._files()
        self.stage.run("snapshot", "delete", f"{self.vm}/tuesday", "--yes", "--wait")
        after = self.guest.wait_tick()
        self.stage.prove(
            after.boot_id == before.boot_id
            and after.counter > before.counter
            and self._letter() == "thursday",
            f"the guest goes on in the same boot, counter {after.counter}, its letter reads: thursday",
        )
        letters = {
            day: readback.read_file(self._layers(day)[0][0], "/letter.txt").decode().strip()
            for day in ("monday", "wednesday")
        }
        self.stage.prove(
            all(letter == day for day, letter in letters.items()),
            f"read offline, monday's letter reads {letters['monday']!r} and wednesday's {letters['wednesday']!r}",
        )
        self.stage.prove(
            self._files() == files - len(TARGETS),
            f"{len(TARGETS)} layers were merged away: {files} layer files before, {self._files()} after",
        )

    def look_back(self) -> None:
        """The tree and the events."""
        self.stage.act("What there is, and what happened")
        self.stage.run("snapshot", "tree", self.vm)
        self.stage.run("job", "list", "--vm", self.vm)
        self.stage.run("event", "list", "--vm", self.vm, "--limit", "8")
        names = [
            one["name"] for one in self.client.every(self.client.snapshots, vm=self.vm, sort="created_at")
        ]
        self.stage.prove(
            names == ["before-upgrade", "monday", "wednesday"],
            f"the snapshots that are left: {', '.join(names)}",
        )

    def _create(self, name: str, kind: str, *more: str) -> None:
        self.stage.run("snapshot", "create", self.vm, "--type", kind, "--name", name, *more, "--wait")

    def _snapshot(self, name: str) -> Snapshot:
        found = self.client.every(self.client.snapshots, vm=self.vm, q=name)
        return next(one for one in found if one["name"] == name)

    def _layers(self, name: str) -> list[tuple[Path, str]]:
        """The files a snapshot froze, with their formats, in the order of the disks."""
        layers = {one["target"]: Path(one["layer"]) for one in self._snapshot(name)["volumes"]}
        return [(layers[target], layers[target].suffix[1:]) for target in TARGETS]

    def _files(self) -> int:
        return sum(1 for path in self.guest.folder.rglob("vd*") if path.is_file())

    def _write(self, path: str, text: str) -> None:
        self.guest.sh(f"echo '{text}' >{path} && sync")

    def _letter(self) -> str:
        """As it stands on the disk: what the guest remembers of it is dropped first."""
        return self.guest.sh(f"echo 3 >/proc/sys/vm/drop_caches; cat {LETTER}").strip()

    def _turn(self, mark: int) -> tuple[Tick, Tick]:
        """The last tick before the counter went back, and the first after it."""
        self.guest.wait_tick()
        for before, after in pairwise(self.guest.serial.ticks(mark)):
            if after.counter <= before.counter or after.boot_id != before.boot_id:
                return before, after
        raise LabError("the guest's counter did not go back")
