"""What is on the storage when the power goes: a file system as it would be found then, mounted once more beside itself."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hypervisor import definitions, files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mkfs.ext4"), reason="needs root and ext4"),
]


class Disk:
    """An ext4 file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "disk"
        self.image.touch()
        os.truncate(self.image, 24 << 20)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)

    @contextmanager
    def mounted(self, image: Path) -> Iterator[Path]:
        place = image.with_name(f"{image.name}.mounted")
        place.mkdir()
        done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"no loop device: {done.stderr.decode()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)
            place.rmdir()

    def after_a_power_cut(self, look: Callable[[Path], str | None]) -> str | None:
        """What has not reached the device by now is lost."""
        found = self.image.with_name("found")
        shutil.copyfile(self.image, found)
        with self.mounted(found) as place:
            return look(place)


def test_what_libvirt_defines_lasts_when_its_folder_was_synced(tmp_path: Path) -> None:
    """Its daemon syncs the new file and renames it; until the folder is synced too, a power cut brings the old one back."""
    disk = Disk(tmp_path)

    def define(folder: Path, text: str) -> None:
        """As libvirt's virFileRewrite does it."""
        with open(folder / "web1.xml.new", "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(folder / "web1.xml.new", folder / "web1.xml")

    def look(place: Path) -> str:
        return (place / "web1.xml").read_text()

    with disk.mounted(disk.image) as folder:
        define(folder, "on the old layer")
        definitions.make_last(str(folder))
        define(folder, "on the new layer")
        assert disk.after_a_power_cut(look) == "on the old layer"
        definitions.make_last(str(folder))
        assert disk.after_a_power_cut(look) == "on the new layer"


def test_what_is_written_renamed_or_removed_is_so_after_a_power_cut(tmp_path: Path) -> None:
    """Manifests, marks and layers are what they are said to be, their folders included."""
    disk = Disk(tmp_path)

    def at(name: str) -> Callable[[Path], str | None]:
        return lambda place: files.read_text(str(place / name))

    with disk.mounted(disk.image) as folder:
        path = str(folder / "home" / "s1.snapshot" / "manifest.json")
        files.write_text(path, "ready")
        assert disk.after_a_power_cut(at("home/s1.snapshot/manifest.json")) == "ready"
        files.write_text(path, "deleting")
        assert disk.after_a_power_cut(at("home/s1.snapshot/manifest.json")) == "deleting"
        files.rename(path, str(folder / "home" / "other"))
        assert disk.after_a_power_cut(at("home/other")) == "deleting"
        files.remove(str(folder / "home" / "s1.snapshot"))
        assert disk.after_a_power_cut(lambda place: str((place / "home" / "s1.snapshot").exists())) == "False"


def test_a_folder_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    """Where definitions are kept elsewhere the log says so."""
    definitions.make_last(str(tmp_path / "none"))
