"""One small real guest of the lab, seen from outside and from inside."""

from __future__ import annotations

import importlib
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lab import agent
from lab.daemon import POLL_S
from lab.errors import LabError
from lab.machine import Machine
from lab.places import Places
from lab.serial import Serial, Tick


class Guest:
    """A guest by its name; holds no libvirt object, so it outlives libvirtd and forks."""

    def __init__(self, machine: Machine, places: Places, name: str) -> None:
        self.machine = machine
        self.name = name
        self.folder = places.images / name
        self.serial = Serial(places.home / "serial" / f"{name}.log")

    @property
    def domain(self) -> Any:
        """Its libvirt domain on a connection of this process; raises libvirtError if it is gone."""
        return self.machine.connection().lookupByName(self.name)

    @property
    def uuid(self) -> str:
        """Its libvirt UUID."""
        return str(self.domain.UUIDString())

    @property
    def disks(self) -> dict[str, Path]:
        """The image each disk writes to now, by target; follows snapshots and reverts."""
        document = ElementTree.fromstring(self.domain.XMLDesc(0))
        return {
            disk.find("target").attrib["dev"]: Path(source.attrib["file"])  # type: ignore[union-attr]
            for disk in document.iterfind("devices/disk")
            if (source := disk.find("source")) is not None
        }

    @property
    def is_active(self) -> bool:
        """Whether it runs or is paused."""
        return bool(self.domain.isActive())

    def start(self) -> None:
        """Boot it; returns before the guest's first tick."""
        self.domain.create()

    def destroy(self) -> None:
        """Cut its power; one that is off is fine."""
        if self.is_active:
            self.domain.destroy()

    def power_off(self, timeout_s: float = 90) -> None:
        """Ask it to shut itself down, and wait until it is off; raises LabError after `timeout_s`."""
        libvirt = importlib.import_module("libvirt")
        # libvirt asks the guest's agent first, and takes a guest that is off before the agent said so for an error.
        with suppress(libvirt.libvirtError):
            self.domain.shutdown()
        self.wait_off(timeout_s)

    def wait_off(self, timeout_s: float = 90) -> None:
        """Wait until it has powered itself off; raises LabError after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self.is_active:
            if time.monotonic() > deadline:
                raise LabError(f"guest {self.name} is not off after {timeout_s:g} s")
            time.sleep(POLL_S)

    def remove(self) -> None:
        """Destroy and undefine it, and delete its NVRAM, images and serial log; twice is fine."""
        libvirt = importlib.import_module("libvirt")
        try:
            domain = self.domain
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
        else:
            self.destroy()
            domain.undefineFlags(
                libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
                | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        self.serial.path.unlink(missing_ok=True)

    def ticks(self) -> list[Tick]:
        """Every tick on its serial port so far, over all boots and reverts."""
        return self.serial.ticks()

    def wait_tick(self, after: int | None = None, timeout_s: float = 90) -> Tick:
        """Wait for the next tick printed, above the counter `after` if given; raises LabError."""
        return self.serial.wait_tick(after, timeout_s)

    def wait_agent(self, timeout_s: float = 90) -> None:
        """Wait until its guest agent answers; raises LabError after `timeout_s`."""
        agent.wait_ready(self.domain, timeout_s)

    def sh(self, command: str, timeout_s: float = 90) -> str:
        """Run a shell command inside and return its output; raises LabError with its stderr."""
        return agent.run(self.domain, command, timeout_s)

    def read_counter(self, target: str = "vda") -> int:
        """The counter on one disk as the running guest reads it."""
        return int(self.sh(f"cat /disk/{target}/counter").split()[0])
