"""Build the lab's guest out of Debian's own packages: one kernel, one initramfs, cached.

The recipe is the folder `recipe/` and this file; the cache folder is named after their hash, so a
changed recipe is a new guest and an unchanged one costs milliseconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

RECIPE = Path(__file__).with_name("recipe")

#: Loaded by the guest in this order; ext4 and the serial port are built into the kernel.
MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"),
    *("virtio_blk", "virtio_console", "evdev", "button"),
)


@dataclass(frozen=True, slots=True)
class GuestImage:
    """The two files every lab guest boots from."""

    kernel: Path
    initramfs: Path


def default_cache() -> Path:
    """The folder built guests are kept in: $STILLFRAME_CACHE, else `var/cache` of this checkout."""
    named = os.environ.get("STILLFRAME_CACHE")
    return Path(named) if named else Path(__file__).resolve().parent.parent / "var" / "cache"


def build(cache: Path | None = None) -> tuple[GuestImage, bool]:
    """Return the guest image and whether it had to be built; the first time takes seconds.

    Needs root's package tools once (apt-get download) and gcc; raises LabError naming the command
    that failed.
    """
    cache = cache or default_cache()
    done = cache / f"guest-{_recipe_hash()}"
    image = GuestImage(done / "vmlinuz", done / "initramfs")
    if done.exists():
        return image, False
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache / "guest.lock"):
        if done.exists():
            return image, False
        with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as work:
            os.rename(_build_in(Path(work)), done)
    return image, True


def _build_in(work: Path) -> Path:
    packages = _unpack(work)
    root = work / "root"
    result = work / "result"
    for name in ("bin", "sbin", "dev", "proc", "sys", "disk", "modules", "etc/acpi/PWRF"):
        (root / name).mkdir(parents=True)
    _run("cp", "/bin/busybox", str(root / "bin"))
    _run("chroot", str(root), "/bin/busybox", "--install", "-s", "/bin")
    _install("init", root / "init")
    _install("shutdown", root / "sbin/shutdown", root / "etc/acpi/PWRF/00000080")
    _install("fsfreeze-hook", root / "etc/fsfreeze-hook")
    _run("gcc", "-O2", "-static", "-o", str(root / "bin/ticker"), str(RECIPE / "ticker.c"))
    _install_agent(packages, root)
    _install_modules(packages, root)
    result.mkdir()
    (kernel,) = (packages / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, result / "vmlinuz")
    _run("sh", "-c", f"find . | cpio -o -H newc --quiet | gzip -1 >{result}/initramfs", cwd=root)
    return result


def _unpack(work: Path) -> Path:
    """Fetch the kernel and the guest agent and unpack them; nothing is installed here."""
    kernel = _newest_kernel()
    fetch = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"]
    try:
        _run(*fetch, kernel, "qemu-guest-agent", cwd=work)
    except LabError:  # the package lists are older than the archive
        _run("apt-get", "-q", "update")
        _run(*fetch, _newest_kernel(), "qemu-guest-agent", cwd=work)
    for package in work.glob("*.deb"):
        _run("dpkg", "-x", str(package), str(work / "packages"))
    return work / "packages"


def _newest_kernel() -> str:
    for attempt in range(2):
        listed = _run("apt-cache", "depends", "linux-image-cloud-amd64")
        found = re.search(r"Depends: (linux-image-\S+)", listed)
        if found:
            return found[1]
        if attempt == 0:
            _run("apt-get", "-q", "update")
    raise LabError("apt knows no package linux-image-cloud-amd64; is this Debian on amd64?")


def _install(name: str, *places: Path) -> None:
    for place in places:
        shutil.copy(RECIPE / name, place)
        place.chmod(0o755)


def _install_agent(packages: Path, root: Path) -> None:
    agent = packages / "usr/sbin/qemu-ga"
    shutil.copy(agent, root / "bin/qemu-ga")
    linked = _run("ldd", str(agent))
    if missing := re.findall(r"(\S+) => not found", linked):
        raise LabError(f"the guest agent needs {', '.join(missing)}, which is not installed here")
    for library in re.findall(r"(/\S+) \(0x", linked):
        place = root / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)


def _install_modules(packages: Path, root: Path) -> None:
    for module in MODULES:
        (found,) = (packages / "lib/modules").rglob(f"{module}.ko*")
        if found.suffix == ".xz":
            _run("sh", "-c", f"xz -dc '{found}' >'{root}/modules/{module}.ko'")
        else:
            shutil.copy(found, root / f"modules/{module}.ko")
    (root / "modules/order").write_text("\n".join(MODULES) + "\n")


def _recipe_hash() -> str:
    digest = hashlib.sha256()
    for path in [Path(__file__), *sorted(RECIPE.glob("*[!~]"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        ended = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True)
    except FileNotFoundError as missing:
        raise LabError(f"{command[0]} is not installed; `make setup` installs it") from missing
    if ended.returncode:
        raise LabError(f"{' '.join(command)} failed: {ended.stderr.strip()}")
    return ended.stdout


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
