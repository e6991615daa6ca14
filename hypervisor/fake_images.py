"""Files and images of the fake machine."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from hypervisor.fake_foreign import image_facts
from hypervisor.fake_machine import FakeMachine
from hypervisor.fake_world import FakeFile, World
from hypervisor.port import ImageFacts, Pulse, Source, StorageFacts
from stillframe.errors import QemuImgFailed


class FakeImages:
    """`hypervisor.port.Images` on a FakeMachine."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine

    def facts(self, path: str, declared: str | None = None) -> ImageFacts | None:
        """One image's header, or None if there is no such file."""
        with self._machine.world() as world:
            return image_facts(path, world.files[path]) if path in world.files else None

    def chain(self, path: str, declared: str | None = None) -> tuple[ImageFacts, ...]:
        """The image and all it is backed by, top first."""
        with self._machine.world() as world, _no_holes("info"):
            return tuple(image_facts(layer, world.files[layer]) for layer in world.chain(path))

    def create_layer(self, path: str, backing: Source, virtual_bytes: int) -> None:
        """An empty qcow2 layer."""
        with self._machine.act("images.create_layer") as world, _no_holes("create"):
            self._free_to_write(world, path, "create")
            world.files[path] = FakeFile(
                "image",
                format="qcow2",
                virtual_bytes=virtual_bytes,
                backing=backing.path,
                backing_format=backing.format,
                owner=world.image(backing.path).owner,
            )

    def convert(self, source: Source, path: str, pulse: Pulse) -> None:
        """A standalone copy; the images it reads are locked meanwhile."""
        with self._machine.begin("images.convert") as world, _no_holes("convert"):
            chain = world.chain(source.path)
            if busy := self._machine.written_by_vms(world) & {world.real(layer) for layer in chain}:
                raise _failed("convert", f'Failed to get shared "write" lock: {", ".join(sorted(busy))}')
            virtual_bytes = world.image(source.path).virtual_bytes
            content = world.reads_as(source.path)
            size = sum(world.image(layer).size_bytes for layer in chain)
        with self._machine.reading([world.real(layer) for layer in chain]):
            self._work(size, pulse)
        with self._machine.end("images.convert") as world:
            world.files[path] = FakeFile(
                "image", format="qcow2", virtual_bytes=virtual_bytes, content=content
            )

    def convert_internal(self, source: Source, name: str, path: str, pulse: Pulse) -> None:
        """A standalone copy of what an internal snapshot reads as; nobody is locked out meanwhile."""
        with self._machine.begin("images.convert_internal") as world, _no_holes("convert"):
            image = world.image(source.path)
            if name not in image.internal:
                raise _failed("convert", f"Failed to load snapshot: Can't find snapshot {name}")
            made = FakeFile(
                "image",
                format="qcow2",
                virtual_bytes=image.virtual_bytes,
                content=world.reads_as(source.path, name),
            )
        self._work(2 * made.size_bytes, pulse)
        with self._machine.end("images.convert_internal") as world:
            world.files[path] = made

    def commit(self, top: str, base: str, pulse: Pulse) -> None:
        """Writes what lies above `base` into it."""
        with self._machine.begin("images.commit") as world, _no_holes("commit"):
            chain = world.chain(top)
            between = chain[: chain.index(base)]
            for path in (*between, base):
                self._free_to_write(world, path, "commit")
            size = sum(world.image(layer).size_bytes for layer in between)
            # As a live one does: from the first moment on the base alone is neither what it was nor what it will be.
            for path in between[len(between) // 2 :]:
                world.write(base, world.image(path).content)
        self._work(size, pulse)
        with self._machine.end("images.commit") as world:
            world.pour(top, base)

    def rebase(self, path: str, backing: Source) -> None:
        """Another backing image for the same data."""
        with self._machine.act("images.rebase") as world, _no_holes("rebase"):
            self._free_to_write(world, path, "rebase")
            image = world.image(path)
            image.backing, image.backing_format = backing.path, backing.format

    def sha256(self, path: str, pulse: Pulse) -> str:
        """A digest of all that is in the file."""
        with self._machine.world() as world:
            said = repr(world.files[path])
        self._work(len(said), pulse)
        return sha256(said.encode()).hexdigest()

    def free_bytes(self, path: str) -> int:
        """What is left of the machine's capacity."""
        with self._machine.world() as world:
            return self._machine.capacity_bytes - sum(file.size_bytes for file in world.files.values())

    def storage(self, path: str) -> StorageFacts:
        """All images lie on one."""
        free = self.free_bytes(path)
        return StorageFacts("local:fake", free, max(free, 1 << 40))

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        with self._machine.world() as world:
            return bool(world.inside(path))

    def is_empty(self, path: str) -> bool:
        """Whether nothing was ever written to it."""
        with self._machine.world() as world:
            image = world.files.get(path)
            if image is None or image.kind != "image" or image.backing is None:
                return False
            return not image.content and not image.internal

    def identity(self, path: str) -> str | None:
        """The path itself, or what it is another name of."""
        with self._machine.world() as world:
            return world.real(path) if path in world.files else None

    def written_at(self, path: str) -> int | None:
        """When it was last written to, by the machine's own clock."""
        with self._machine.world() as world:
            return world.files[path].written_at if path in world.files else None

    def is_open(self, path: str) -> bool:
        """Whether a VM that is on stands on it, or a copy reads it."""
        with self._machine.world() as world:
            return (
                world.real(path) in self._machine.opened_by_vms(world) or self._machine.being_read[path] > 0
            )

    def size_bytes(self, path: str) -> int:
        """Bytes allocated."""
        with self._machine.world() as world:
            return world.files[path].size_bytes if path in world.files else 0

    def remove(self, path: str) -> None:
        """Removes a file or folder. A VM that has the file open goes on, and never boots again."""
        with self._machine.act("images.remove") as world:
            if world.aliases.pop(path, None) is None:
                for name in world.inside(path):
                    del world.files[name]

    def remove_empty(self, folder: str) -> None:
        """A folder is there as long as something is in it."""
        with self._machine.act("images.remove_empty"):
            pass

    def sync(self, path: str) -> None:
        """Here all is durable at once."""
        with self._machine.act("images.sync") as world:
            if path not in world.files:
                raise FileNotFoundError(path)

    def rename(self, old: str, new: str) -> None:
        """Renames a file or a folder."""
        with self._machine.act("images.rename") as world:
            moved = world.inside(old)
            if not moved:
                raise FileNotFoundError(old)
            for name in moved:
                world.files[new + name.removeprefix(world.real(old))] = world.files.pop(name)

    def write_text(self, path: str, text: str) -> None:
        """Writes a small file."""
        with self._machine.act("images.write_text") as world:
            world.files[path] = FakeFile("text", text=text, written_at=world.clock)

    def read_text(self, path: str) -> str | None:
        """A small file's text."""
        with self._machine.world() as world:
            return world.files[path].text if path in world.files else None

    def copy(self, source: str, path: str) -> None:
        """Copies a small file, keeping owner and mode of an existing one."""
        with self._machine.act("images.copy") as world:
            model = world.files.get(path) or world.files[source]
            text = world.files[source].text
            world.files[path] = FakeFile("text", text=text, mode=model.mode, owner=model.owner)

    def listing(self, folder: str) -> tuple[str, ...]:
        """What is in a folder."""
        with self._machine.world() as world:
            real = f"{world.real(folder)}/"
            names = {
                name.removeprefix(real).split("/", 1)[0] for name in world.inside(folder) if name != real[:-1]
            }
        return tuple(sorted(f"{folder}/{name}" for name in names))

    def _work(self, total: int, pulse: Pulse) -> None:
        for quarter in range(5):
            pulse(total * quarter // 4, total)
            time.sleep(self._machine.pace_s)

    def _free_to_write(self, world: World, path: str, verb: str) -> None:
        in_use = {
            world.real(layer) for head in self._machine.written_by_vms(world) if head in world.files
            for layer in world.chain(head)
        }  # fmt: skip
        if world.real(path) in in_use or self._machine.being_read[world.real(path)] > 0:
            raise _failed(verb, f'Failed to get "write" lock: {path}')


@contextmanager
def _no_holes(verb: str) -> Iterator[None]:
    try:
        yield
    except KeyError as missing:
        raise _failed(verb, f"Could not open {missing}: No such file or directory") from missing


def _failed(verb: str, stderr: str) -> QemuImgFailed:
    return QemuImgFailed(verb=verb, rc=1, stderr=stderr, detail=stderr)
