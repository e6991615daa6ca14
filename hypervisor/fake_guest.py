"""The inside of a fake VM: a guest that writes to its volumes and holds things in RAM."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, Protocol
from uuid import UUID, uuid4

from hypervisor import fake_foreign, xml
from hypervisor.fake_world import BETWEEN_WRITES_NS, Agent, FakeFile, FakeJob, FakeVmRow, World
from stillframe.states import VmState


class Ground(Protocol):
    """What a guest stands on: the state of its machine, and those who want to hear when its VM changes."""

    def world(self) -> AbstractContextManager[World]:
        """The state, held alone until the block ends."""

    def tell(self, uuid: UUID, change: Literal["changed", "gone"]) -> None:
        """Something changed about a VM."""


class GuestStandsStill(Exception):
    """The guest cannot do this: its VM is off or paused, or its filesystems are frozen."""


class FakeGuest:
    """What a guest does and sees."""

    def __init__(self, machine: Ground, uuid: UUID) -> None:
        self.machine = machine
        self.uuid = uuid

    def boot(self, state: VmState = VmState.RUNNING) -> None:
        """A fresh boot from the persistent definition: new boot id, empty RAM, the counter read from disk."""
        with self.machine.world() as world:
            row = world.vms[str(self.uuid)]
            heads = [volume.path for volume in xml.volumes_of(row.definition) if volume.path]
            counters = [world.reads_as(path).get("counter", 0) for path in heads]
            row.live, row.state, row.reason = row.definition, state, "booted"
            row.boot_id, row.ram, row.frozen = str(uuid4()), {"counter": max(counters, default=0)}, False
            if state == VmState.PAUSED:
                row.reason = "starting_up"

    def tick(self) -> int:
        """Counts on by one, in RAM and on every volume."""
        with self._awake() as (world, row):
            row.ram["counter"] += 1
            for volume in xml.volumes_of(row.present):
                if not volume.read_only:
                    head = self._head(row, volume.target)
                    world.write(head, {"counter": row.ram["counter"]}, BETWEEN_WRITES_NS)
            return int(row.ram["counter"])

    def write(self, key: str, value: Any, target: str = "vda") -> None:
        """Writes to a volume."""
        with self._awake() as (world, row):
            world.write(self._head(row, target), {key: value}, BETWEEN_WRITES_NS)

    def read(self, key: str, target: str = "vda") -> Any:
        """What the volume reads as through its chain; None if nothing was ever written there."""
        with self.machine.world() as world:
            return world.reads_as(self._head(world.vms[str(self.uuid)], target)).get(key)

    @property
    def counter(self) -> int:
        """The counter in RAM."""
        with self.machine.world() as world:
            return int(world.vms[str(self.uuid)].ram["counter"])

    @property
    def boot_id(self) -> str:
        """Changes with every boot, and comes back with RAM."""
        with self.machine.world() as world:
            return world.vms[str(self.uuid)].boot_id

    @property
    def agent(self) -> Agent:
        """Whether its agent answers, hangs or is not there."""
        with self.machine.world() as world:
            return world.vms[str(self.uuid)].agent

    @agent.setter
    def agent(self, agent: Agent) -> None:
        with self.machine.world() as world:
            world.vms[str(self.uuid)].agent = agent

    def change(self, **facts: Any) -> None:
        """Sets facts of the VM as the world outside might: `state`, `reason`, `managed_save`, `frozen`, ..."""
        with self.machine.world() as world:
            for name, value in facts.items():
                setattr(world.vms[str(self.uuid)], name, value)
        self.machine.tell(self.uuid, "changed")

    @contextmanager
    def daemon_forgets(self) -> Iterator[None]:
        """What is cut in this block, the daemon dies before it has noted it; it is up again at the end."""
        with self.machine.world() as world:
            row = world.vms[str(self.uuid)]
            live, definition = row.live, row.definition
        yield
        with self.machine.world() as world:
            row = world.vms[str(self.uuid)]
            row.unnoted = {volume.target: volume.path for volume in xml.volumes_of(row.present)}
            row.live, row.definition = live, definition
            for volume in xml.volumes_of(row.present):
                if row.unnoted[volume.target] == volume.path:
                    del row.unnoted[volume.target]
            world.lives += 1

    def managed_save(self) -> None:
        """Somebody puts its RAM aside, and it is off."""
        with self.machine.world() as world:
            row = world.vms[str(self.uuid)]
            row.saved, row.managed_save = row.live, True
            row.end(VmState.OFF, "saved")

    def take_internal(self, name: str) -> None:
        """Somebody takes a snapshot in its images (`virsh snapshot-create-as`)."""
        with self.machine.world() as world:
            fake_foreign.take_internal(world, world.vms[str(self.uuid)], name)

    def take_external(self, name: str) -> None:
        """Somebody takes a snapshot of its disks (`virsh snapshot-create-as --disk-only`)."""
        with self.machine.world() as world:
            fake_foreign.take_external(world, world.vms[str(self.uuid)], name)

    def forget_foreign(self, name: str) -> None:
        """Somebody drops the daemon's record of a snapshot (`virsh snapshot-delete --metadata`)."""
        with self.machine.world() as world:
            fake_foreign.forget(world.vms[str(self.uuid)], name)

    def start_copy(self, path: str, target: str = "vda") -> None:
        """Somebody begins to copy a volume (`virsh blockcopy`), and does not end it."""
        with self.machine.world() as world:
            row = world.vms[str(self.uuid)]
            head = self._head(row, target)
            image = world.image(head)
            world.files[path] = FakeFile("image", format=image.format, virtual_bytes=image.virtual_bytes)
            row.jobs[target] = FakeJob(head, path, is_head=True, done=0, total=image.size_bytes, is_copy=True)

    def crash(self) -> None:
        """QEMU dies: the VM is off, its live merges are left where they were."""
        self._end(VmState.CRASHED, "crashed")

    def shut_down(self) -> None:
        """The guest turns itself off."""
        self._end(VmState.OFF, "shutdown")

    def leave_open(self, path: str) -> None:
        """Its QEMU has an image open that no disk stands on."""
        with self.machine.world() as world:
            world.vms[str(self.uuid)].left_open.append(path)

    def _end(self, state: VmState, reason: str) -> None:
        with self.machine.world() as world:
            world.vms[str(self.uuid)].end(state, reason)

    @contextmanager
    def _awake(self) -> Iterator[tuple[World, FakeVmRow]]:
        with self.machine.world() as world:
            row = world.vms[str(self.uuid)]
            if row.state != VmState.RUNNING or row.frozen:
                raise GuestStandsStill(
                    f"state {row.state}, filesystems {'frozen' if row.frozen else 'thawed'}"
                )
            yield world, row

    def _head(self, row: FakeVmRow, target: str) -> str:
        noted = (volume.path for volume in xml.volumes_of(row.present) if volume.target == target)
        return row.unnoted.get(target) or next(noted)
