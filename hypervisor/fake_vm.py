"""One VM of the fake machine, through one connection."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol
from uuid import UUID

from hypervisor import fake_cut, fake_foreign, xml
from hypervisor.facts import is_migrated
from hypervisor.fake_machine import FakeMachine
from hypervisor.fake_world import FakeJob, FakeVmRow, World
from hypervisor.port import BlockJob, CutFacts, Pulse, Source, VmFacts, VolumeFacts
from stillframe.errors import AgentUnresponsive, HypervisorFailed, VmBusy, VmGone
from stillframe.states import VmState

#: Seconds that a change waits for its turn.
_TURN_S = 30.0
#: Changes with something in the middle, each begun by `_act` and ended by `_end`.
_LONG = {"cut", "take_back"}


class Connection(Protocol):
    """What a VM needs of its host."""

    name: str

    def connected(self) -> AbstractContextManager[World]: ...


class FakeVm:
    """`hypervisor.port.Vm` on a FakeMachine."""

    def __init__(self, machine: FakeMachine, host: Connection, uuid: UUID) -> None:
        self.uuid = uuid
        self._machine = machine
        self._host = host

    def facts(self) -> VmFacts:
        """All that is known of it."""
        with self._look() as (world, row):
            return fake_cut.facts_of(world, row)

    def definition(self) -> str:
        """The persistent definition."""
        with self._look() as (_, row):
            return row.definition

    def running_definition(self) -> str:
        """The present one."""
        with self._look() as (_, row):
            return row.present

    def disks_of(self, definition: str) -> tuple[VolumeFacts, ...]:
        """The disks of a definition."""
        return xml.volumes_of(definition)

    def cut(self, layers: Mapping[str, Source], memory: str | None, quiesce: bool, pulse: Pulse) -> CutFacts:
        """Puts `layers` on top of the volumes, in one instant."""
        with self._act("cut") as (world, row):
            fake_cut.check(world, row, layers, memory, quiesce)
            row.frozen = row.frozen or (quiesce and row.is_on)
        if memory:
            fake_cut.save_slowly(row, memory, pulse, self._machine)
        elif quiesce:
            time.sleep(self._machine.pace_s)
        with self._end("cut") as (world, row):
            try:
                fake_cut.check(world, row, layers, memory, quiesce=False)
                done = fake_cut.cut(world, row, layers, memory, quiesce)
            finally:
                row.frozen = row.frozen and not quiesce
        self._machine.tell(self.uuid, "changed")
        return done

    def unnoted(self, layers: Mapping[str, Source]) -> dict[str, Source]:
        """What is written to, and the daemon has not noted."""
        with self._look() as (_, row):
            return {
                target: layer for target, layer in layers.items() if row.unnoted.get(target) == layer.path
            }

    def take_back(self, target: str, layer: str, pulse: Pulse, leaving: Callable[[], object]) -> None:
        """Undoes a cut of one volume that the daemon has not noted."""
        if not self.unnoted({target: Source(layer, "qcow2")}):
            return
        with self._act("take_back") as (world, row):
            # From the first moment on what is below is neither what it was nor what it will be.
            written = sorted(world.image(layer).content.items())
            world.write(self._head(row, target), dict(written[len(written) // 2 :]))
        pulse(1, 2)
        with self._act("take_back.ready") as (world, row):
            self._pour_back(world, row, target, layer)
        leaving()
        with self._end("take_back") as (world, row):
            self._pour_back(world, row, target, layer)
            del row.unnoted[target]

    def let_go(self, path: str) -> bool:
        """QEMU closes what was left open."""
        with self._act("let_go") as (_, row):
            was_open = path in row.left_open
            row.left_open = [other for other in row.left_open if other != path]
        return was_open

    def stop(self) -> None:
        """Power off."""
        with self._act("stop") as (_, row):
            if row.is_on:
                row.end(VmState.OFF, "destroyed")
            row.managed_save, row.saved = False, None
        self._machine.tell(self.uuid, "changed")

    def start(self, paused: bool = False) -> None:
        """Boots it."""
        with self._act("start") as (world, row):
            if row.is_on:
                return
            self._check_images(world, row.definition)
            row.managed_save, row.saved = False, None
            self._machine.guest(self.uuid).boot(VmState.PAUSED if paused else VmState.RUNNING)
        self._machine.tell(self.uuid, "changed")

    def pause(self) -> None:
        """Lets it stand still."""
        with self._act("pause") as (_, row):
            if row.state == VmState.RUNNING:
                row.state, row.reason = VmState.PAUSED, "user"
        self._machine.tell(self.uuid, "changed")

    def resume(self) -> None:
        """Lets it run."""
        with self._act("resume") as (_, row):
            if not row.is_on:
                raise _not_running()
            row.state, row.reason = VmState.RUNNING, "unpaused"

    def define(self, definition: str, sources: Mapping[str, Source]) -> None:
        """Another persistent definition, on these images."""
        with self._act("define") as (_, row):
            row.definition = xml.with_sources(definition, sources, xml.name_of(row.definition))
        self._machine.tell(self.uuid, "changed")

    def saved_definition(self, memory: str) -> str:
        """The definition in a memory file."""
        with self._look() as (world, _):
            file = world.files.get(memory)
            if file is None or file.kind != "memory":
                raise HypervisorFailed(detail=f"failed to read qemu header of {memory}")
            return file.text

    def restore(self, memory: str, sources: Mapping[str, Source], pulse: Pulse | None = None) -> None:
        """RAM comes back, on other images."""
        definition = self.saved_definition(memory)
        with self._act("restore") as (world, row):
            if row.is_on:
                raise HypervisorFailed(detail="Requested operation is not valid: domain is already active")
            live = xml.with_sources(definition, sources, xml.name_of(row.definition))
            self._check_images(world, live)
            file = world.files[memory]
            raised = fake_cut.read_slowly(file, pulse, self._machine) if pulse else None
            row.live, row.ram, row.boot_id = live, dict(file.content), file.boot_id
            row.state, row.reason, row.clock_is_set = VmState.RUNNING, "restored", False
            if file.was_paused:
                row.state, row.reason = VmState.PAUSED, "migration"
        self._machine.tell(self.uuid, "changed")
        if raised is not None:
            raise raised

    def revert_internal(self, name: str) -> None:
        """Back to an internal snapshot."""
        with self._act("revert_internal") as (world, row):
            fake_foreign.revert(world, row, name)
        self._machine.tell(self.uuid, "changed")

    def delete_internal(self, name: str) -> None:
        """An internal snapshot less."""
        with self._act("delete_internal") as (world, row):
            fake_foreign.delete(world, row, name)

    def block_job(self, target: str) -> BlockJob | None:
        """The merge on a volume; each look finds it further on."""
        with self._look() as (world, row):
            job = row.jobs.get(target)
            if job is None:
                return None
            seen = BlockJob(job.kind, job.done, job.total, job.ready, job.base if job.is_head else None)
            job.done = min(job.total, job.done + job.total // 2 + 1)
            if job.done >= job.total and not job.is_head:
                self._take_out(world, row, target, job)
            return seen

    def start_commit(self, target: str, top: str, base: str) -> None:
        """Begins to merge."""
        with self._act("start_commit") as (world, row):
            if not row.is_on:
                raise _not_running()
            if target in row.jobs:
                raise VmBusy(
                    vm=xml.name_of(row.present), detail=f"disk {target!r} already in active block job"
                )
            chain = world.chain(self._head(row, target))
            if top not in chain or base not in chain[chain.index(top) + 1 :]:
                raise HypervisorFailed(detail=f"invalid argument: {base} is not below {top} in the chain")
            if self._machine.being_read[world.real(base)] > 0:
                raise HypervisorFailed(detail='internal error: Failed to get "write" lock')
            merged = chain[chain.index(top) : chain.index(base)]
            total = sum(world.image(path).size_bytes for path in merged)
            row.jobs[target] = FakeJob(top, base, is_head=top == chain[0], done=0, total=total)
            # What the base held is partly overwritten from the first moment; who looks through `top` sees no change.
            for path in merged[len(merged) // 2 :]:
                world.write(base, world.image(path).content)

    def pivot(self, target: str) -> None:
        """Ends a ready merge of the head."""
        with self._act("pivot") as (world, row):
            job = row.jobs.get(target)
            if job is None or not job.ready:
                raise HypervisorFailed(detail=f"block job on {target} is not ready for a pivot")
            self._take_out(world, row, target, job)
        self._machine.tell(self.uuid, "changed")

    def abort_block_job(self, target: str) -> None:
        """Ends a merge; the chain stays."""
        with self._act("abort_block_job") as (_, row):
            row.jobs.pop(target, None)

    def live_chain(self, target: str) -> tuple[str, ...]:
        """A volume's images, head first."""
        with self._look() as (world, row):
            return tuple(world.chain(self._head(row, target)))

    def activity(self) -> str | None:
        """The long job it is in."""
        with self._look() as (_, row):
            return row.activity if row.is_on else None

    def await_turn(self, pulse: Pulse) -> None:
        """Until it is at nothing long."""
        until = time.monotonic() + _TURN_S
        with self._act("await_turn"):
            pass
        while self._is_at_something():
            if time.monotonic() >= until:
                raise VmBusy(vm=self.uuid, detail="cannot acquire state change lock")
            pulse(0, 0)
            time.sleep(0.01)

    def _is_at_something(self) -> bool:
        with self._look() as (_, row):
            return row.activity is not None

    def abort_activity(self) -> None:
        """Has it given up."""
        with self._act("abort_activity") as (_, row):
            row.activity = None

    def is_frozen(self) -> bool | None:
        """What the agent says."""
        with self._look() as (_, row):
            return row.frozen if row.agent == "answers" and row.state == VmState.RUNNING else None

    def thaw(self) -> None:
        """Thaws."""
        with self._act("thaw") as (_, row):
            if row.agent != "answers":
                raise AgentUnresponsive(vm=xml.name_of(row.present), detail="guest agent is not connected")
            row.frozen = False

    def set_clock(self) -> None:
        """Best effort."""
        with self._act("set_clock") as (_, row):
            row.clock_is_set = row.clock_is_set or row.agent == "answers"

    def note(self, text: str) -> None:
        """Keeps a text, live and persistent."""
        with self._act("note") as (_, row):
            row.definition = xml.with_note(row.definition, text)
            row.live = row.live and xml.with_note(row.live, text)

    @contextmanager
    def _look(self) -> Iterator[tuple[World, FakeVmRow]]:
        with self._host.connected() as world:
            row = world.vms.get(str(self.uuid))
            if row is None or is_migrated(row.state, row.reason):
                raise VmGone(vm=self.uuid, host=self._host.name)
            yield world, row

    @contextmanager
    def _act(self, call: str) -> Iterator[tuple[World, FakeVmRow]]:
        """A change; a failure asked for with `after` comes at its end, or when a long one ends."""
        with self._look():
            pass
        keep = self._machine.begin if call in _LONG else self._machine.act
        with keep(call), self._look() as found:
            yield found

    @contextmanager
    def _end(self, call: str) -> Iterator[tuple[World, FakeVmRow]]:
        with self._machine.end(call), self._look() as found:
            yield found

    def _head(self, row: FakeVmRow, target: str) -> str:
        for volume in xml.volumes_of(row.present):
            if volume.target == target:
                return volume.path
        raise HypervisorFailed(detail=f"invalid argument: disk {target!r} not found in domain")

    def _pour_back(self, world: World, row: FakeVmRow, target: str, layer: str) -> None:
        if row.unnoted.get(target) != layer:
            raise HypervisorFailed(detail="Unable to read from monitor: Connection reset by peer")
        world.pour(layer, self._head(row, target))

    def _check_images(self, world: World, definition: str) -> None:
        for volume in xml.volumes_of(definition):
            try:
                chain = world.chain(volume.path)
            except KeyError as missing:
                raise HypervisorFailed(detail=f"Cannot access storage file {missing}") from missing
            if self._machine.being_read[world.real(chain[0])] > 0:
                raise HypervisorFailed(detail=f'internal error: Failed to get "write" lock of {chain[0]}')

    def _take_out(self, world: World, row: FakeVmRow, target: str, job: FakeJob) -> None:
        if job.is_copy:
            world.image(job.base).content = world.reads_as(self._head(row, target))
        else:
            world.pour(job.top, job.base)
        del row.jobs[target]
        if job.is_head:
            swap = {target: Source(job.base, world.image(job.base).format)}
            row.definition = xml.with_sources(row.definition, swap)
            row.live = xml.with_sources(row.present, swap)
            return
        chain = world.chain(self._head(row, target))
        above = world.image(chain[chain.index(job.top) - 1])
        above.backing, above.backing_format = job.base, world.image(job.base).format


def _not_running() -> HypervisorFailed:
    return HypervisorFailed(detail="Requested operation is not valid: domain is not running")
