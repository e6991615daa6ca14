"""The manifest of a snapshot: what lies on the host beside the layers, so that the tree is known without any database.

A manifest is a reference: the layers it names stay as they are for as long as its state is not `deleting`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from hypervisor.port import Images, Source
from stillframe.errors import HypervisorFailed

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`state`: ready or deleting. `definition` is the VM's own, with secrets; its disks are not to be believed."""

    id: UUID
    vm: UUID
    folder: str
    state: str
    type: str
    #: The layers it froze, by volume target.
    volumes: dict[str, Source]
    virtual_bytes: dict[str, int]
    #: The folder for new layers of each volume.
    homes: dict[str, str]
    #: Whether the VM was running or paused when it was taken, or off.
    vm_state: str
    definition: str
    memory: bool = False
    nvram: bool = False
    consistency: str | None = None
    #: name, display_name, description, tags, created_at: for people, and to rebuild rows from.
    words: dict[str, Any] = field(default_factory=dict)

    @property
    def memory_path(self) -> str:
        """The save image with the RAM."""
        return memory_in(self.folder)

    @property
    def nvram_path(self) -> str:
        """The copy of the UEFI variable store."""
        return nvram_in(self.folder)

    def deleting(self) -> "Manifest":
        """The same, once it is no reference any more."""
        return replace(self, state="deleting")


def note_of(snapshot: UUID | None) -> str:
    """What the VM's own metadata says of us: which snapshot its present state grew out of."""
    return json.dumps({"current": str(snapshot) if snapshot else None})


def path_in(folder: str) -> str:
    """The manifest of the snapshot that has this folder."""
    return f"{folder}/manifest.json"


def memory_in(folder: str) -> str:
    """The save image of the snapshot that has this folder."""
    return f"{folder}/memory.save"


def nvram_in(folder: str) -> str:
    """The copy of the UEFI variable store of the snapshot that has this folder."""
    return f"{folder}/nvram.fd"


def write(images: Images, manifest: Manifest) -> None:
    """Puts a manifest on disk, whole and durable."""
    values = asdict(manifest) | {"schema": SCHEMA, "id": str(manifest.id), "vm": str(manifest.vm)}
    del values["folder"]
    images.write_text(path_in(manifest.folder), json.dumps(values, ensure_ascii=False, indent=1))


def read(images: Images, folder: str) -> Manifest | None:
    """The manifest in a folder, or None if there is none.

    Raises HypervisorFailed if it cannot be understood: which layers it refers to is then not known, and nothing of the
    VM may be merged or removed.
    """
    text = images.read_text(path_in(folder))
    if text is None:
        return None
    try:
        return _from_json(folder, json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise HypervisorFailed(
            detail=f"{path_in(folder)} is no manifest of this version: {error!r}"
        ) from error


def _from_json(folder: str, values: dict[str, Any]) -> Manifest:
    if values.pop("schema") != SCHEMA:
        raise ValueError("another schema")
    values["volumes"] = {target: Source(**source) for target, source in values["volumes"].items()}
    return Manifest(**values | {"id": UUID(values["id"]), "vm": UUID(values["vm"]), "folder": folder})


def in_homes(images: Images, homes: Iterable[str]) -> Iterator[Manifest]:
    """Every snapshot of a VM that lies in its homes."""
    for home in homes:
        for path in images.listing(home):
            if path.endswith(".snapshot") and (manifest := read(images, path)):
                yield manifest
