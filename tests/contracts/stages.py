"""Where the contract of a hypervisor is played: one stage is made up, the other is libvirt with a real guest."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

import libvirt
import libvirt_qemu

from hypervisor import monitor
from hypervisor.fake import FakeHost, FakeMachine
from hypervisor.libvirt_host import LibvirtHost
from hypervisor.port import Host, Source, Vm
from lab import Guest as LabGuest
from lab import Lab, readback
from stillframe.errors import Cancelled
from stillframe.states import VmState
from tests.brakes import slow

TIMEOUT_S = 30


def quiet(_done: int, _total: int) -> None:
    """A pulse that wants nothing."""


class Stop:
    """A pulse that asks for a cancel at its n-th call, and notes when it was called."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.heard: list[tuple[int, int]] = []
        self.times: list[float] = []

    def __call__(self, done: int, total: int) -> None:
        self.heard.append((done, total))
        self.times.append(time.monotonic())
        if len(self.heard) >= self.at:
            raise Cancelled()


def wait_until(true: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> None:
    """Waits for something to become true, and fails when it does not."""
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.01)


class Guest(Protocol):
    """The inside of one VM, and what others do to it."""

    uuid: UUID
    name: str

    def tick(self) -> tuple[int, str]:
        """The next counter that is durable on every volume, and the boot id."""

    def freeze(self) -> None: ...

    def crash(self) -> None: ...

    def managed_save(self) -> None: ...

    def start_copy(self, path: str) -> None:
        """Begins to copy vda, as somebody else might, and leaves it at that."""

    def take_internal(self, name: str) -> None:
        """Somebody takes a snapshot in its images, with RAM if it is on."""

    def take_external(self, name: str) -> None:
        """Somebody takes a snapshot of its disks, in layers."""

    def forget_foreign(self, name: str) -> None:
        """Somebody drops libvirt's record of a snapshot."""

    def lose_internal(self, name: str, path: str) -> None:
        """Somebody removes a snapshot from the table of one image; the VM is off."""

    def leave_open(self, path: str) -> None:
        """Its QEMU has an image open on which none of its disks stands."""

    def undefine(self) -> None: ...

    def slowed(self) -> AbstractContextManager[None]:
        """It works slowly within the block, so that what it does is met in the middle."""


class Stage(Protocol):
    """A machine with guests, and a connection to it."""

    host: Host

    def another_host(self) -> Host: ...

    def guest(
        self, *formats: str, agent: bool = True, on: bool = True, memory_mib: int = 128, ballast_mib: int = 0
    ) -> Guest: ...

    def counter_in(self, image: Source) -> int: ...

    def looks(self, path: str) -> tuple[int, object]:
        """Mode and owner of a file."""

    def alias(self, path: str, other: str) -> None:
        """Gives a file or a folder another name."""

    def cut_short(self, memory: str) -> None:
        """Takes away the second half of a memory file."""

    def kill_daemon(self) -> None: ...

    def start_daemon(self) -> None: ...

    def daemon_forgets(self, guest: Guest) -> AbstractContextManager[None]:
        """What is done to the guest in this block its daemon dies before noting; it is up again at the end."""


class Play:
    """One guest on a stage, with short words for what tests do to it."""

    def __init__(self, stage: Stage, guest: Guest) -> None:
        self.stage = stage
        self.guest = guest
        self.host = stage.host
        self.images = stage.host.images
        self.vm: Vm = stage.host.vm(guest.uuid)

    def heads(self) -> dict[str, Source]:
        """The images its volumes write to."""
        return {volume.target: Source(volume.path, volume.format) for volume in self.vm.facts().volumes}

    def home(self) -> str:
        """A folder for its layers that QEMU may use."""
        own = self.images.chain(self.heads()["vda"].path)[-1].path
        return f"{own.rsplit('/', 1)[0]}/stillframe/{self.guest.uuid}"

    def layers(self, *targets: str, on: dict[str, Source] | None = None) -> dict[str, Source]:
        """New layers on the heads, or on what is given."""
        made = {}
        home = self.home()
        for target, below in (on or self.heads()).items():
            if targets and target not in targets:
                continue
            path = f"{home}/{target}-{uuid4()}.qcow2"
            facts = self.images.facts(below.path, below.format)
            assert facts is not None
            self.images.create_layer(path, below, facts.virtual_bytes)
            made[target] = Source(path, "qcow2")
        return made

    def cut_hot(self) -> dict[str, Source]:
        """A cut of the disks; gives the layers it put on top."""
        layers = self.layers()
        self.vm.cut(layers, None, False, quiet)
        return layers

    def is_merged_but_for_the_pivot(self, target: str) -> bool:
        """Whether the merge under way holds all that the guest has written."""
        job = self.vm.block_job(target)
        return job is not None and job.ready

    def counter_in(self, image: Source) -> int:
        """The counter that an image reads as."""
        return self.stage.counter_in(image)


class FakeGuestOnStage:
    """A fake guest."""

    def __init__(self, machine: FakeMachine, guest: Any, name: str) -> None:
        self._machine = machine
        self._guest = guest
        self.uuid: UUID = guest.uuid
        self.name = name

    def tick(self) -> tuple[int, str]:
        return self._guest.tick(), self._guest.boot_id

    def freeze(self) -> None:
        self._guest.change(frozen=True)

    def crash(self) -> None:
        self._guest.crash()

    def managed_save(self) -> None:
        self._guest.managed_save()

    def start_copy(self, path: str) -> None:
        self._guest.start_copy(path)

    def take_internal(self, name: str) -> None:
        self._guest.take_internal(name)

    def take_external(self, name: str) -> None:
        self._guest.take_external(name)

    def forget_foreign(self, name: str) -> None:
        self._guest.forget_foreign(name)

    def lose_internal(self, name: str, path: str) -> None:
        with self._machine.world() as world:
            del world.files[path].internal[name]

    def leave_open(self, path: str) -> None:
        self._guest.leave_open(path)

    def undefine(self) -> None:
        self._machine.remove_vm(self.uuid)

    def slowed(self) -> AbstractContextManager[None]:
        return nullcontext()  # what is made up takes as many steps as it is asked after


class FakeStage:
    """Everything made up."""

    def __init__(self) -> None:
        self.machine = FakeMachine()
        self.host: Host = FakeHost(self.machine)

    def another_host(self) -> Host:
        return FakeHost(self.machine)

    def guest(
        self, *formats: str, agent: bool = True, on: bool = True, memory_mib: int = 128, ballast_mib: int = 0
    ) -> Guest:
        name = f"vm-{uuid4().hex[:8]}"
        volumes = {f"vd{letter}": kind for letter, kind in zip("abc", formats or ("qcow2",), strict=False)}
        guest = self.machine.create_vm(
            name,
            volumes,
            state=VmState.RUNNING if on else VmState.OFF,
            agent="answers" if agent else "absent",
            memory_bytes=memory_mib << 20,
        )
        return FakeGuestOnStage(self.machine, guest, name)

    def counter_in(self, image: Source) -> int:
        return int(self.machine.read_back(image.path)["counter"])

    def looks(self, path: str) -> tuple[int, object]:
        with self.machine.world() as world:
            return world.files[path].mode, world.files[path].owner

    def alias(self, path: str, other: str) -> None:
        self.machine.alias(path, other)

    def cut_short(self, memory: str) -> None:
        with self.machine.world() as world:
            world.files[memory].kind = "text"

    def kill_daemon(self) -> None:
        self.machine.kill_daemon()

    def start_daemon(self) -> None:
        self.machine.start_daemon()

    def daemon_forgets(self, guest: Guest) -> AbstractContextManager[None]:
        return self.machine.guest(guest.uuid).daemon_forgets()

    def close(self) -> None:
        """Nothing is left."""


class RealGuestOnStage:
    """A real guest of the lab."""

    def __init__(self, guest: LabGuest) -> None:
        self._guest = guest
        self.uuid = UUID(guest.uuid)
        self.name = guest.name

    def tick(self) -> tuple[int, str]:
        # The one being printed may have been written before the call; the one after it was not.
        tick = self._guest.wait_tick(after=self._guest.wait_tick().counter)
        return tick.counter, tick.boot_id

    def freeze(self) -> None:
        self._guest.domain.fsFreeze()

    def crash(self) -> None:
        os.kill(self.pid(), signal.SIGKILL)

    def panic(self) -> None:
        """As its kernel tells QEMU's panic device, whose port that is."""
        hmp = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        libvirt_qemu.qemuMonitorCommand(self._guest.domain, "o /b 0x505 1", hmp)

    def leave_open(self, path: str) -> None:
        ask = partial(monitor.ask, self._guest.domain, "blockdev-add")
        ask(driver="file", filename=path, **{"node-name": "left-storage"})
        ask(driver="qcow2", file="left-storage", backing=None, **{"node-name": "left-format"})

    def managed_save(self) -> None:
        self._guest.domain.managedSave(0)

    def start_copy(self, path: str) -> None:
        disk = f"<disk type='file'><driver type='qcow2'/><source file='{path}'/></disk>"
        self._guest.domain.blockCopy("vda", disk, {}, libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB)

    def take_internal(self, name: str) -> None:
        self._guest.domain.snapshotCreateXML(f"<domainsnapshot><name>{name}</name></domainsnapshot>", 0)

    def take_external(self, name: str) -> None:
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
        self._guest.domain.snapshotCreateXML(f"<domainsnapshot><name>{name}</name></domainsnapshot>", flags)

    def forget_foreign(self, name: str) -> None:
        snapshot = self._guest.domain.snapshotLookupByName(name)
        snapshot.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)

    def lose_internal(self, name: str, path: str) -> None:
        subprocess.run(["qemu-img", "snapshot", "-d", name, path], check=True)

    def undefine(self) -> None:
        self._guest.domain.undefineFlags(0)

    def slowed(self) -> AbstractContextManager[None]:
        return slow(self.pid())

    def pid(self) -> int:
        """Its QEMU."""
        for folder in Path("/proc").glob("[0-9]*"):
            words = (folder / "cmdline").read_bytes().split(b"\0") if (folder / "cmdline").exists() else []
            if str(self.uuid).encode() in words and b"qemu" in words[0]:
                return int(folder.name)
        raise AssertionError(f"no QEMU of {self.name}")


class RealStage:
    """A libvirtd of its own with guests that tick."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._hosts: list[LibvirtHost] = []
        self._guests: list[LabGuest] = []
        self.host: Host = self.another_host()

    def another_host(self) -> Host:
        self._hosts.append(LibvirtHost(self.lab.libvirt_uri, "lab", agent_timeout_s=5))
        return self._hosts[-1]

    def guest(
        self, *formats: str, agent: bool = True, on: bool = True, memory_mib: int = 128, ballast_mib: int = 0
    ) -> Guest:
        guest = self.lab.create_guest(
            f"vm-{uuid4().hex[:8]}",
            formats or ("qcow2",),
            agent=agent,
            start=on,
            memory_mib=memory_mib,
            ballast_mib=ballast_mib,
        )
        self._guests.append(guest)
        if on:
            guest.wait_tick()
            if agent:
                guest.wait_agent()
        return RealGuestOnStage(guest)

    def counter_in(self, image: Source) -> int:
        return readback.counter(Path(image.path), image.format)[0]

    def looks(self, path: str) -> tuple[int, object]:
        found = os.stat(path)
        return found.st_mode & 0o7777, (found.st_uid, found.st_gid)

    def alias(self, path: str, other: str) -> None:
        os.symlink(other, path)

    def cut_short(self, memory: str) -> None:
        os.truncate(memory, os.path.getsize(memory) // 2)

    def kill_daemon(self) -> None:
        self.lab.kill_libvirtd()

    def start_daemon(self) -> None:
        self.lab.start_libvirtd()

    def daemon_forgets(self, guest: Guest) -> AbstractContextManager[None]:
        return self.lab.daemon_forgets(guest.name)

    def close(self) -> None:
        """Removes its guests."""
        for guest in self._guests:
            guest.remove()
        for host in self._hosts:
            host.close()
