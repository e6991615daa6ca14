"""A believable hypervisor: the port on a FakeMachine, refusing and failing where libvirt and QEMU do."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal
from uuid import UUID

from hypervisor import fake_cut, xml
from hypervisor.fake_images import FakeImages
from hypervisor.fake_machine import FakeMachine
from hypervisor.fake_vm import FakeVm
from hypervisor.fake_world import FakeVmRow, World
from hypervisor.port import HostFacts, VmFacts
from stillframe.errors import HostLost, HypervisorFailed

__all__ = ["FakeHost", "FakeMachine"]


def _look_at(world: World, row: FakeVmRow) -> VmFacts:
    try:
        return fake_cut.facts_of(world, row)
    except HypervisorFailed as failed:
        return fake_cut.little_of(row, failed.detail)


class FakeHost:
    """`hypervisor.port.Host` on a FakeMachine; several may be connected to one."""

    def __init__(self, machine: FakeMachine, name: str = "fake") -> None:
        self.name = name
        self.machine = machine
        self.images = FakeImages(machine)
        self._life: int | None = None
        self._events: queue.SimpleQueue[tuple[UUID, Literal["changed", "gone"]] | None] = queue.SimpleQueue()
        self._watcher: threading.Thread | None = None

    def facts(self) -> HostFacts:
        """What the machine is."""
        with self.connected():
            return HostFacts(self.name, "9.0.0", "7.2.22", cpus=4, memory_bytes=16 << 30)

    def vms(self) -> tuple[VmFacts, ...]:
        """All VMs."""
        with self.connected() as world:
            return tuple(_look_at(world, row) for row in world.vms.values())

    def vm(self, uuid: UUID) -> FakeVm:
        """A handle."""
        return FakeVm(self.machine, self, uuid)

    def find(self, name: str) -> VmFacts | None:
        """By name or uuid."""
        with self.connected() as world:
            for uuid, row in world.vms.items():
                if name in (uuid, xml.name_of(row.definition)):
                    return self.vm(UUID(uuid)).facts()
        return None

    def reconnect(self, timeout_s: float) -> None:
        """Waits for the daemon."""
        until = time.monotonic() + timeout_s
        while True:
            with self.machine.world() as world:
                if world.daemon_is_up:
                    self._life = world.lives
                    return
            if time.monotonic() >= until:
                raise HostLost(detail=f"no daemon for {timeout_s} s")
            time.sleep(0.01)

    def watch(self, changed: Callable[[UUID, Literal["changed", "gone"]], None]) -> None:
        """Calls `changed` from a thread of this connection. Other processes' changes are not heard."""
        self.machine.listeners.append(lambda uuid, change: self._events.put((uuid, change)))
        self._watcher = threading.Thread(target=self._hear, args=(changed,), daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Ends the watching."""
        self._events.put(None)

    @contextmanager
    def connected(self) -> Iterator[World]:
        """The world, if the connection lives; it is opened by the first call."""
        with self.machine.world() as world:
            if self._life is None and world.daemon_is_up:
                self._life = world.lives
            if not world.daemon_is_up or self._life != world.lives:
                raise HostLost(detail="internal error: client socket is closed")
            yield world

    def _hear(self, changed: Callable[[UUID, Literal["changed", "gone"]], None]) -> None:
        while event := self._events.get():
            changed(*event)
