"""The lab as its users see it: one folder, up to three daemons, any number of guests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from lab.broker import Redis
from lab.create import Wanted, create
from lab.errors import LabError
from lab.guest import Guest
from lab.machine import Machine
from lab.places import Places, free_port, is_free_soon
from lab.postgres import Postgres

PARTS = ("postgres", "redis", "libvirt")
#: VIR_DOMAIN_XML_INACTIVE: the definition that is kept, and not that of the moment.
_INACTIVE = 2


def default_var() -> Path:
    """$STILLFRAME_VAR, else `var` of this checkout."""
    named = os.environ.get("STILLFRAME_VAR")
    return Path(named) if named else Path(__file__).resolve().parent.parent / "var"


class Lab:
    """One lab on one `var` folder; any number of objects and programs may share it.

    `with Lab(var) as lab:` starts all parts and stops them at the end.
    """

    def __init__(self, var: Path | None = None) -> None:
        self.places = Places.of(var or default_var())
        self.postgres = Postgres(self.places)
        self.redis = Redis(self.places)
        self.machine = Machine(self.places)
        self._parts: dict[str, Postgres | Redis | Machine] = {
            "postgres": self.postgres,
            "redis": self.redis,
            "libvirt": self.machine,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, parts: Collection[str] = PARTS) -> None:
        """Start the named parts, those that are down; seconds.  Raises LabError with the reason.

        Also after a reboot or a kill: what was left behind is recognised and replaced.
        """
        if unknown := set(parts) - set(PARTS):
            raise LabError(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}")
        self.places.settings()
        with self.places.only_one():
            self.places.prepare()
            self._settle_ports()
            with ThreadPoolExecutor(len(PARTS)) as together:
                for started in [together.submit(self._parts[part].start) for part in parts]:
                    started.result()
            if "postgres" in parts:
                self.create_database("stillframe")

    def stop(self, parts: Collection[str] = PARTS) -> None:
        """Stop the named parts with everything they started; guests lose power.  Twice is fine."""
        with self.places.only_one():
            for part in parts:
                self._parts[part].stop()
            if not any(part.daemon.pid for part in self._parts.values()):
                shutil.rmtree(self.places.run, ignore_errors=True)

    def remove(self) -> None:
        """Stop, then delete all that was kept: databases, images, definitions, settings."""
        self.stop()
        self.places.remove()

    def status(self) -> dict[str, int | None]:
        """The pid of each part, None where it is down."""
        return {
            "postgres": self.postgres.daemon.pid,
            "redis": self.redis.daemon.pid,
            "libvirt": self.machine.libvirtd_pid(),
        }

    @property
    def libvirt_uri(self) -> str:
        """The private libvirtd's address."""
        return self.machine.uri

    @property
    def definitions(self) -> Path:
        """Where the private libvirtd keeps the definitions of its VMs."""
        return self.places.home / "libvirt" / "etc" / "qemu"

    @property
    def broker_url(self) -> str:
        """The private Redis's address, its password in it."""
        return self.redis.url

    @property
    def images(self) -> Path:
        """The folder of the guests' images, one folder a guest."""
        return self.places.images

    def database_url(self, name: str = "stillframe") -> str:
        """A database's address, its password in it; the database need not exist yet."""
        return self.postgres.url(name)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database unless it is there, optionally copied from one; return its address."""
        return self.postgres.create_database(name, template)

    def drop_database(self, name: str) -> None:
        """Drop a database with the sessions in it; one that is not there is fine."""
        self.postgres.drop_database(name)

    def kill_libvirtd(self) -> None:
        """SIGKILL libvirtd; its QEMUs run on."""
        self.machine.kill_libvirtd()

    def start_libvirtd(self) -> None:
        """Start libvirtd again beside the QEMUs that run."""
        self.machine.start_libvirtd()

    @contextmanager
    def daemon_forgets(self, guest: str) -> Iterator[None]:
        """What QEMU does for a guest in this block libvirtd does not note: it dies before, and is up again at the end."""
        status = self.places.run / "libvirt" / "qemu" / f"{guest}.xml"
        domain = self.machine.connection().lookupByName(guest)
        before, defined = status.read_bytes(), domain.XMLDesc(_INACTIVE)
        yield
        self.kill_libvirtd()
        status.write_bytes(before)
        self.start_libvirtd()
        self.machine.connection().defineXML(defined)

    def restart_libvirtd(self) -> None:
        """SIGKILL libvirtd and start it again; the QEMUs run on throughout."""
        self.kill_libvirtd()
        self.start_libvirtd()

    def stop_redis(self) -> None:
        """Stop Redis in order."""
        self.redis.stop()

    def kill_redis(self) -> None:
        """SIGKILL Redis."""
        self.redis.kill()

    def start_redis(self) -> None:
        """Start Redis with what its append-only file holds."""
        self.redis.start()

    def restart_redis(self) -> None:
        """Stop Redis in order and start it again."""
        self.redis.stop()
        self.redis.start()

    def stop_postgres(self) -> None:
        """Stop Postgres in order; sessions are cut."""
        self.postgres.stop()

    def kill_postgres(self) -> None:
        """SIGKILL Postgres and its sessions."""
        self.postgres.kill()

    def start_postgres(self) -> None:
        """Start Postgres; after a kill it recovers from its log first."""
        self.postgres.start()

    def restart_postgres(self) -> None:
        """Stop Postgres in order and start it again."""
        self.postgres.stop()
        self.postgres.start()

    def create_guest(
        self,
        name: str,
        disks: Sequence[str] = ("qcow2",),
        *,
        memory_mib: int | None = None,
        uefi: bool = False,
        agent: bool = True,
        disk_mib: int = 64,
        start: bool = True,
        ballast_mib: int = 0,
        dirty_mib_s: int = 0,
        pulse_ms: int = 0,
        tick_ms: int = 200,
    ) -> Guest:
        """Define a guest with one disk a format and boot it; returns before its first tick.

        `memory_mib` is 128 unless given, 256 with UEFI, whose firmware fails in less.
        `ballast_mib` of its RAM is filled with random bytes before its first tick, of which `dirty_mib_s`
        are written again each second; `pulse_ms` prints `pulse <n>` that often whatever the disks do.
        Raises LabError when the name is taken or not of small letters, digits and `-`.
        """
        return create(
            self.machine,
            self.places,
            Wanted(
                name=name,
                formats=tuple(disks),
                disk_mib=disk_mib,
                memory_mib=memory_mib or (256 if uefi else 128),
                uefi=uefi,
                agent=agent,
                start=start,
                arguments={
                    "tick_ms": tick_ms,
                    "pulse_ms": pulse_ms,
                    "ballast_mib": ballast_mib,
                    "dirty_mib_s": dirty_mib_s,
                },
            ),
        )

    def guest(self, name: str) -> Guest:
        """A guest made before, perhaps by another program; raises LabError if there is none."""
        guest = Guest(self.machine, self.places, name)
        if not guest.folder.exists():
            raise LabError(f"there is no guest {name!r} in {self.places.var}")
        return guest

    def guests(self) -> list[Guest]:
        """Every guest of this lab, by name."""
        names = sorted(folder.name for folder in self.images.iterdir() if folder.is_dir())
        return [self.guest(name) for name in names]

    def _settle_ports(self) -> None:
        """Move a part that is down off a port that somebody else took meanwhile.

        Not if it is free again soon: who tries a port out holds it for a moment too, and whoever knows this lab's
        addresses would look for the part where it was.
        """
        settings = self.places.settings()
        if self.postgres.daemon.pid is None and not is_free_soon(settings.postgres_port):
            settings = replace(settings, postgres_port=free_port())
        if self.redis.daemon.pid is None and not is_free_soon(settings.redis_port):
            settings = replace(settings, redis_port=free_port())
        self.places.write(settings)
