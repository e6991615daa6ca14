"""A machine that never was: VMs with guests that write, on images that read through their backing chains.

It is the ground under `fake.FakeHost`, with what a test needs besides: guests that write, a daemon that dies, calls that
fail before or after they have worked. With a folder its state outlives the process, and several processes may share it.
"""

import contextlib
import fcntl
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

from hypervisor import xml
from hypervisor.fake_guest import FakeGuest
from hypervisor.fake_world import Agent, Content, FakeFile, FakeVmRow, World
from stillframe.states import VmState

Change = Literal["changed", "gone"]


class FakeMachine:
    """One hypervisor's disks, files and VMs. Any number of FakeHosts may be connected, from any thread."""

    def __init__(self, folder: str | Path | None = None) -> None:
        #: The names of all calls that changed something, in order; `cut`, `images.convert`, ...
        self.calls: list[str] = []
        self.capacity_bytes = 1 << 40
        #: How long each quarter of a long call takes.
        self.pace_s = 0.0
        #: Images that a copy reads at this moment.
        self.being_read: Counter[str] = Counter()
        self.listeners: list[Callable[[UUID, Change], None]] = []
        self._failures: dict[str, list[tuple[bool, Exception]]] = {}
        self._lock = threading.RLock()
        self._depth = 0
        self._world = World()
        self._file = Path(folder) / "machine.json" if folder else None

    @contextmanager
    def world(self) -> Iterator[World]:
        """The state, held alone until the block ends; what was changed is kept even if the block raises."""
        with self._lock:
            if self._depth or self._file is None:
                yield self._world
                return
            with self._shared_file(self._file):
                self._depth += 1
                try:
                    yield self._world
                finally:
                    self._depth -= 1

    @contextmanager
    def _shared_file(self, file: Path) -> Iterator[None]:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = file.read_text() if file.exists() else json.dumps(World().to_json())
            self._world = World.from_json(json.loads(before))
            try:
                yield
            finally:
                after = json.dumps(self._world.to_json())
                if after != before:
                    part = file.with_suffix(".part")
                    part.write_text(after)
                    os.replace(part, file)

    # --- what a test builds --------------------------------------------------------------------

    def create_vm(
        self,
        name: str,
        volumes: dict[str, str] | None = None,
        *,
        state: VmState = VmState.RUNNING,
        memory_bytes: int = 128 << 20,
        virtual_bytes: int = 64 << 20,
        agent: Agent = "answers",
        nvram: bool = False,
        uuid: UUID | None = None,
    ) -> FakeGuest:
        """A VM with one image a volume; `volumes` gives formats by target. Returns its guest."""
        chosen = uuid or uuid4()
        folder = f"/images/{name}"
        images = {
            target: f"{folder}/{target}.{kind}" for target, kind in (volumes or {"vda": "qcow2"}).items()
        }
        with self.world() as world:
            for path in images.values():
                kind = path.rsplit(".", 1)[1]
                world.files[path] = FakeFile("image", format=kind, virtual_bytes=virtual_bytes)
            if nvram:
                world.files[f"{folder}/nvram.fd"] = FakeFile("text", text="variables")
            definition = _definition(name, chosen, memory_bytes, images, nvram and f"{folder}/nvram.fd")
            world.vms[str(chosen)] = FakeVmRow(str(chosen), definition, agent=agent)
        guest = self.guest(chosen)
        if state != VmState.OFF:
            guest.boot(state)
        self.tell(chosen, "changed")
        return guest

    def alias(self, path: str, other: str) -> None:
        """Gives a file or a folder another name, as a symbolic link or a bind mount does: `path` leads to `other`."""
        with self.world() as world:
            world.aliases[path] = other

    def guest(self, uuid: UUID) -> FakeGuest:
        """The inside of a VM."""
        return FakeGuest(self, uuid)

    def remove_vm(self, uuid: UUID) -> None:
        """Stops and undefines it, as somebody else might; its files stay."""
        with self.world() as world:
            del world.vms[str(uuid)]
        self.tell(uuid, "gone")

    def read_back(self, path: str) -> Content:
        """What an image reads as, its backing chain included."""
        with self.world() as world:
            return world.reads_as(path)

    # --- what goes wrong -----------------------------------------------------------------------

    def fail_next(self, call: str, error: Exception, *, after: bool = False) -> None:
        """Makes the next such call (`cut`, `images.convert`, ...) raise; with `after`, when it has done its work."""
        self._failures.setdefault(call, []).append((after, error))

    def kill_daemon(self) -> None:
        """The daemon dies: QEMUs run on, every connection is lost for good."""
        with self.world() as world:
            world.daemon_is_up = False

    def start_daemon(self) -> None:
        """It is back; connections have to be opened anew."""
        with self.world() as world:
            world.daemon_is_up = True
            world.lives += 1

    # --- used by FakeHost ----------------------------------------------------------------------

    @contextmanager
    def act(self, call: str) -> Iterator[World]:
        """The world, for one call that changes it; raises what `fail_next` asked for."""
        with self.begin(call), self.end(call) as world:
            yield world

    @contextmanager
    def begin(self, call: str) -> Iterator[World]:
        """The world at the beginning of a long call."""
        self._maybe_fail(call, after=False)
        self.calls.append(call)
        with self.world() as world:
            yield world

    @contextmanager
    def end(self, call: str) -> Iterator[World]:
        """The world at the end of a long call."""
        with self.world() as world:
            yield world
        self._maybe_fail(call, after=True)

    @contextmanager
    def reading(self, paths: list[str]) -> Iterator[None]:
        """Locks images against writers, as a copy does."""
        with self._lock:
            self.being_read.update(paths)
        try:
            yield
        finally:
            with self._lock:
                self.being_read.subtract(paths)

    def written_by_vms(self, world: World) -> set[str]:
        """Images that a VM writes to at this moment: live heads, and the bases of live merges."""
        written = set()
        for row in world.vms.values():
            if row.is_on:
                written |= {volume.path for volume in xml.volumes_of(row.present) if not volume.read_only}
                written |= {job.base for job in row.jobs.values()} | set(row.unnoted.values())
        return {world.real(path) for path in written}

    def opened_by_vms(self, world: World) -> set[str]:
        """Images that a QEMU has open: what its VM writes to and all below, also what the daemon does not know of."""
        heads = self.written_by_vms(world)
        left = {world.real(path) for row in world.vms.values() for path in row.left_open}
        return left | {world.real(path) for head in heads for path in world.chain_so_far(head)}

    def tell(self, uuid: UUID, change: Change) -> None:
        """Lets all watchers know."""
        for listener in list(self.listeners):
            listener(uuid, change)

    def _maybe_fail(self, call: str, after: bool) -> None:
        waiting = self._failures.get(call, [])
        with contextlib.suppress(StopIteration):
            found = next(one for one in waiting if one[0] == after)
            waiting.remove(found)
            raise found[1]


def _definition(name: str, uuid: UUID, memory_bytes: int, images: dict[str, str], nvram: Any) -> str:
    disks = "".join(
        f"<disk type='file' device='disk'><driver name='qemu' type='{path.rsplit('.', 1)[1]}'/>"
        f"<source file='{path}'/><target dev='{target}' bus='virtio'/></disk>"
        for target, path in images.items()
    )
    store = f"<nvram>{nvram}</nvram>" if nvram else ""
    return (
        f"<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>"
        f"<memory unit='KiB'>{memory_bytes >> 10}</memory><vcpu>1</vcpu>"
        f"<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>{store}</os>"
        f"<devices>{disks}</devices></domain>"
    )
