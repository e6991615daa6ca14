"""The manifest of a snapshot: what lies on the host beside the layers, so that the tree is known without any database.

A manifest is a reference: the layers it names stay as they are for as long as its state is not `deleting`. It lies in
every home that a volume of the snapshot has, so that no volume can be taken away with what protects the others; the
copy with the highest revision counts.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from hypervisor.port import Images, Source
from stillframe.errors import HypervisorFailed
from stillframe.names import snapshot_folder
from workers.storage import check_there

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`state`: ready or deleting. `folder` holds memory and NVRAM.

    `definition` is the VM's own, with secrets; which images it names is not to be believed.
    """

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
    #: Where the VM has its UEFI variable store; None if it has none, or none was there to be kept.
    nvram: str | None = None
    consistency: str | None = None
    #: name, display_name, description, tags, created_at: for people, and to rebuild rows from.
    words: dict[str, Any] = field(default_factory=dict)
    revision: int = 1

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
        return replace(self, state="deleting", revision=self.revision + 1)

    def repointed(self, old: str, new: Source) -> "Manifest":
        """The same, with one layer's data found in another."""
        volumes = {target: new if layer.path == old else layer for target, layer in self.volumes.items()}
        return self if volumes == self.volumes else replace(self, volumes=volumes, revision=self.revision + 1)

    def without(self, path: str) -> "Manifest":
        """The same, with no layer there: it holds another's data by now."""
        volumes = {target: layer for target, layer in self.volumes.items() if layer.path != path}
        return self if volumes == self.volumes else replace(self, volumes=volumes, revision=self.revision + 1)

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder that has a copy of this manifest, its own first."""
        others = {snapshot_folder(home, self.id) for home in self.homes.values()} - {self.folder}
        return (self.folder, *sorted(others))


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
    """Puts a manifest on disk, each copy whole and durable. Raises StorageAway before any is written."""
    for folder in manifest.folders:
        check_there(images, folder)
    values = asdict(manifest) | {"schema": SCHEMA, "id": str(manifest.id), "vm": str(manifest.vm)}
    for folder in manifest.folders:
        images.write_text(path_in(folder), json.dumps(values, ensure_ascii=False, indent=1))


def is_behind(images: Images, manifest: Manifest) -> bool:
    """Whether a copy of this manifest is older: who changed it died before all were written."""
    copies = [read(images, folder) for folder in manifest.folders] if len(manifest.folders) > 1 else []
    return any(copy and copy.revision < manifest.revision for copy in copies)


def read(images: Images, folder: str) -> Manifest | None:
    """The manifest in a folder, or None if there is none.

    Raises HypervisorFailed if it cannot be understood: which layers it refers to is then not known, and nothing of the
    VM may be merged or removed.
    """
    text = images.read_text(path_in(folder))
    if text is None:
        return None
    try:
        return _from_json(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise HypervisorFailed(
            detail=f"{path_in(folder)} is no manifest of this version: {error!r}"
        ) from error


def _from_json(values: dict[str, Any]) -> Manifest:
    if values.pop("schema") != SCHEMA:
        raise ValueError("another schema")
    values["volumes"] = {target: Source(**source) for target, source in values["volumes"].items()}
    return Manifest(**values | {"id": UUID(values["id"]), "vm": UUID(values["vm"])})


def find(images: Images, homes: Iterable[str], folders: Iterable[str] = ()) -> tuple[Manifest, ...]:
    """Every snapshot of a VM that lies in these homes or has one of these folders, each by its newest copy."""
    places = {path for home in homes for path in images.listing(home) if path.endswith(".snapshot")}
    newest: dict[UUID, Manifest] = {}
    for folder in sorted(places | set(folders)):
        manifest = read(images, folder)
        if manifest and (manifest.id not in newest or newest[manifest.id].revision < manifest.revision):
            newest[manifest.id] = manifest
    return tuple(newest[id_] for id_ in sorted(newest))
