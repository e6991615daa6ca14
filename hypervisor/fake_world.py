"""What there is on the fake machine: files and VMs, as plain data that can be written to a file and read again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from stillframe.states import VmState

#: What a guest wrote on a volume, or holds in RAM, by key.
Content = dict[str, Any]
Agent = Literal["answers", "hung", "absent"]

_EMPTY_IMAGE_BYTES = 196_608
_CLUSTER_BYTES = 65_536
_MILLISECOND = 1_000_000
#: A guest writes now and then; what QEMU copies follows at once. Nanoseconds.
BETWEEN_WRITES_NS = 10_000_000_000


@dataclass
class FakeInternal:
    """An entry of an image's own table of snapshots: what the image held then."""

    created_at: int
    content: Content
    memory_bytes: int = 0


@dataclass
class FakeForeign:
    """What the daemon knows of a snapshot that others made; of one with RAM, the RAM too."""

    name: str
    kind: Literal["internal", "external"]
    state: str
    created_at: int
    definition: str
    #: The images it froze or lies in, by target.
    volumes: dict[str, str]
    parent: str | None = None
    with_memory: bool = False
    ram: Content = field(default_factory=dict)
    boot_id: str = ""


@dataclass
class FakeFile:
    """A text, an image or a memory file."""

    kind: Literal["text", "image", "memory"]
    #: The text itself; of a memory file, the definition in it.
    text: str = ""
    mode: int = 0o600
    owner: str = "root"
    format: str = "raw"
    virtual_bytes: int = 0
    backing: str | None = None
    backing_format: str | None = None
    #: What is written in this very image, not what it reads as; of a memory file, the guest's RAM.
    content: Content = field(default_factory=dict)
    internal: dict[str, FakeInternal] = field(default_factory=dict)
    encrypted: bool = False
    #: By the machine's own clock, in nanoseconds.
    written_at: int = 0
    boot_id: str = ""
    was_paused: bool = False
    ram_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes allocated: a cluster for each key written."""
        if self.kind == "image":
            kept = sum(len(one.content) for one in self.internal.values())
            return _EMPTY_IMAGE_BYTES + _CLUSTER_BYTES * (len(self.content) + kept)
        return len(self.text.encode()) + self.ram_bytes


@dataclass
class FakeJob:
    """A live merge. It goes on by a half each time it is looked at."""

    top: str
    base: str
    is_head: bool
    done: int
    total: int
    #: A copy has its image as `base`, and is of the head.
    is_copy: bool = False

    @property
    def kind(self) -> str:
        """As libvirt calls it."""
        return "copy" if self.is_copy else "active_commit" if self.is_head else "commit"

    @property
    def ready(self) -> bool:
        """A merge of the head that waits for its pivot."""
        return self.is_head and self.done >= self.total


@dataclass
class FakeVmRow:
    """One VM. `live` is its definition while it is on, and None while it is off."""

    uuid: str
    definition: str
    live: str | None = None
    state: VmState = VmState.OFF
    reason: str = "unknown"
    persistent: bool = True
    ram: Content = field(default_factory=dict)
    boot_id: str = ""
    agent: Agent = "answers"
    frozen: bool = False
    managed_save: bool = False
    #: The long job that libvirt is at.
    activity: str | None = None
    #: The definition in the managed save.
    saved: str | None = None
    foreign: dict[str, FakeForeign] = field(default_factory=dict)
    #: The name of the one that the daemon calls current.
    foreign_current: str | None = None
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    #: Of a cut that the daemon has not noted: what is really written to, by target.
    unnoted: dict[str, str] = field(default_factory=dict)
    #: Images that QEMU has open though no disk stands on them any more: nobody told it to close them.
    left_open: list[str] = field(default_factory=list)
    clock_is_set: bool = True
    #: Why its definition cannot be read, if a test wants that.
    unreadable: str | None = None

    @property
    def is_on(self) -> bool:
        """Whether there is a QEMU."""
        return self.live is not None

    def end(self, state: VmState, reason: str) -> None:
        """QEMU is gone, and with it all that was only in it."""
        self.live, self.state, self.reason = None, state, reason
        self.ram, self.jobs, self.unnoted, self.left_open, self.frozen = {}, {}, {}, [], False

    @property
    def present(self) -> str:
        """The definition that counts now."""
        return self.live or self.definition


def _file(said: dict[str, Any]) -> FakeFile:
    internal = {name: FakeInternal(**one) for name, one in said.pop("internal").items()}
    return FakeFile(**said, internal=internal)


def _real(aliases: Mapping[str, str], path: str) -> str:
    for name, other in aliases.items():
        if path == name or path.startswith(f"{name}/"):
            return _real(aliases, other + path.removeprefix(name))
    return path


class _Files(dict[str, FakeFile]):
    """Files by any of their names."""

    aliases: Mapping[str, str] = MappingProxyType({})

    def __getitem__(self, path: str) -> FakeFile:
        try:
            return super().__getitem__(_real(self.aliases, path))
        except KeyError:
            raise KeyError(path) from None

    def __setitem__(self, path: str, file: FakeFile) -> None:
        super().__setitem__(_real(self.aliases, path), file)

    def __delitem__(self, path: str) -> None:
        super().__delitem__(_real(self.aliases, path))

    def __contains__(self, path: object) -> bool:
        return super().__contains__(_real(self.aliases, str(path)))

    def get(self, path: str, default: FakeFile | None = None) -> FakeFile | None:  # type: ignore[override]
        return super().get(_real(self.aliases, path), default)

    def pop(self, path: str, *default: Any) -> FakeFile:
        found: FakeFile = super().pop(_real(self.aliases, path), *default)
        return found


@dataclass
class World:
    """All of it. `lives` counts the starts of the daemon: a connection does not outlive it."""

    files: _Files = field(default_factory=_Files)
    vms: dict[str, FakeVmRow] = field(default_factory=dict)
    #: Other names of files and folders, as a symbolic link or a bind mount gives them.
    aliases: dict[str, str] = field(default_factory=dict)
    daemon_is_up: bool = True
    lives: int = 1
    #: The machine's clock goes on by what is done. Nanoseconds.
    clock: int = 0

    def to_json(self) -> dict[str, Any]:
        """A form that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "World":
        """Back again."""
        vms = {}
        for uuid, row in said["vms"].items():
            jobs = {target: FakeJob(**job) for target, job in row.pop("jobs").items()}
            foreign = {name: FakeForeign(**one) for name, one in row.pop("foreign").items()}
            state = VmState(row.pop("state"))
            vms[uuid] = FakeVmRow(**row, state=state, jobs=jobs, foreign=foreign)
        files = _Files((path, _file(file)) for path, file in said["files"].items())
        return cls(
            files=files,
            vms=vms,
            **{name: said[name] for name in ("aliases", "daemon_is_up", "lives", "clock")},
        )

    def __post_init__(self) -> None:
        self.files.aliases = self.aliases

    def real(self, path: str) -> str:
        """The file's one name."""
        return _real(self.aliases, path)

    def inside(self, path: str) -> list[str]:
        """The file of that name, or all files in the folder of that name, by their one name each."""
        real = self.real(path)
        return [name for name in self.files if name == real or name.startswith(f"{real}/")]

    def chain(self, path: str) -> list[str]:
        """An image and what it stands on, top first. Raises KeyError(path) where the chain has a hole."""
        found = [path]
        while (below := self.image(found[-1]).backing) is not None:
            found.append(below)
        return found

    def chain_so_far(self, path: str) -> list[str]:
        """The same, up to where it has a hole."""
        found = [path]
        while (image := self.files.get(found[-1])) is not None and image.backing is not None:
            found.append(image.backing)
        return found

    def image(self, path: str) -> FakeFile:
        """An image; raises KeyError."""
        file = self.files[path]
        if file.kind != "image":
            raise KeyError(path)
        return file

    def reads_as(self, path: str, internal: str | None = None) -> Content:
        """What is read through an image, its backing chain included; or what its internal snapshot of that name reads as."""
        content: Content = {}
        for layer in reversed(self.chain(path)):
            image = self.image(layer)
            at_top = internal is not None and layer == path
            content |= image.internal[internal].content if at_top and internal else image.content
        return content

    def write(self, path: str, content: Content, takes_ns: int = _MILLISECOND) -> None:
        """Writes to an image."""
        image = self.image(path)
        image.content |= content
        self.clock += takes_ns
        image.written_at = self.clock

    def pour(self, top: str, base: str) -> None:
        """Writes all that lies above `base`, up to and with `top`, into `base`. Whoever stands on it reads that now."""
        layers = self.chain(top)
        into = self.image(base)
        for layer in reversed(layers[: layers.index(base)]):
            self.write(base, self.image(layer).content)
        into.virtual_bytes = max(into.virtual_bytes, self.image(top).virtual_bytes)
