"""Make a lab guest: its folder, its disks, its definition."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from lab import disks
from lab.build import GuestImage, build
from lab.domain_xml import Definition
from lab.errors import LabError
from lab.guest import Guest
from lab.machine import Machine
from lab.places import Places, open_folder


@dataclass(frozen=True, slots=True)
class Wanted:
    """A guest that is asked for; `arguments` go to the guest on its kernel's command line."""

    name: str
    formats: tuple[str, ...]
    disk_mib: int
    memory_mib: int
    uefi: bool
    agent: bool
    start: bool
    arguments: Mapping[str, int]


def create(machine: Machine, places: Places, wanted: Wanted) -> Guest:
    """Make the guest and boot it if wanted; raises LabError, leaving nothing of it behind."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", wanted.name):
        raise LabError(f"{wanted.name!r} is no guest name: small letters, digits and - only")
    guest = Guest(machine, places, wanted.name)
    if guest.folder.exists():
        raise LabError(f"there is a guest {wanted.name!r} already; remove it first")
    boot = _boot_files(places)
    open_folder(guest.folder)
    try:
        made = disks.make(guest.folder, wanted.formats, wanted.disk_mib)
        guest.serial.path.touch()
        definition = Definition(
            name=wanted.name,
            memory_mib=wanted.memory_mib,
            disks=made,
            kernel=boot.kernel,
            initramfs=boot.initramfs,
            arguments={"disks": len(made), **wanted.arguments},
            serial=guest.serial.path,
            nvram=guest.folder / "nvram.fd" if wanted.uefi else None,
            agent=wanted.agent,
        )
        machine.connection().defineXML(definition.xml())
        if wanted.start:
            guest.start()
            machine.lend_capabilities()
    except BaseException:
        guest.remove()
        raise
    return guest


def _boot_files(places: Places) -> GuestImage:
    """This lab's own copy of the guest image: QEMU's user can read it, and libvirt, which changes
    the owner of a kernel it boots, changes no other lab's.
    """
    cached, _ = build()
    folder = places.home / "boot" / cached.kernel.parent.name
    with places.only_one():
        if not folder.exists():
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            open_folder(fresh)
            for path in (cached.kernel, cached.initramfs):
                shutil.copyfile(path, fresh / path.name)
                (fresh / path.name).chmod(0o644)
            fresh.rename(folder)
    return GuestImage(folder / "vmlinuz", folder / "initramfs")
