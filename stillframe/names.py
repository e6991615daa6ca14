"""Everything that is derived from ids: queue names, file names. Nothing a user typed ever becomes part of a path."""

import re
import unicodedata
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
from uuid import UUID

from stillframe.errors import DisplayNameInvalid, Invalid, NameInvalid

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TARGET = re.compile(r"[a-z][a-z0-9]{0,15}")
LONGEST_KEY = 255
FOLDER = "stillframe"
#: In it, where extracted images lie.
VOLUMES = "volumes"


def queue_for(host: str) -> str:
    """The Celery queue of one hypervisor."""
    return f"host.{host}"


def wire_name(kind: str) -> str:
    """The Celery task name of a kind of job."""
    return f"stillframe.{kind}"


def check_name(name: str, what: str) -> str:
    """The name, if it can be one; raises NameInvalid with the reason."""
    if NAME.fullmatch(name) and ".." not in name:
        return name
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    raise NameInvalid(name=shown, what=what, why=_why_not(name))


def _why_not(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name) > 64:
        return f"it has {len(name)} characters, and 64 are allowed"
    if ".." in name:
        return "it has two dots in a row"
    odd = next((letter for letter in name if not re.match(r"[A-Za-z0-9._-]", letter)), None)
    if odd is not None:
        return f"it has the character {odd!r}"
    return f"it begins with {name[0]!r}"


def check_display_name(text: str) -> str:
    """The display name in Unicode NFC without outer blanks; raises DisplayNameInvalid with the reason."""
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise DisplayNameInvalid(why="it is empty")
    if len(text) > 255:
        raise DisplayNameInvalid(why=f"it has {len(text)} characters, and 255 are allowed")
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text):
        raise DisplayNameInvalid(why="it has a control character")
    return text


def made_up_name(prefix: str, at: datetime, job: UUID) -> str:
    """A name for what nobody named: the time for people, a piece of the job's id so that two never meet."""
    return f"{prefix}-{at:%Y%m%d-%H%M%S}-{job.hex[-4:]}"


def home_of(image: str, vm: UUID) -> str:
    """The folder beside a volume's own image that holds the layers and snapshots of one VM.

    Beside it, so that layers share its storage; one folder a VM, so that nothing of two VMs mixes.
    """
    return str(PurePosixPath(image).parent / FOLDER / str(vm))


def is_in_home(path: str, vm: UUID) -> bool:
    """Whether a file lies in a folder that Stillframe made for this VM."""
    parts = PurePosixPath(path).parts
    return (FOLDER, str(vm)) in pairwise(parts)


def left_path(layer: str) -> str:
    """What a layer is called that holds what a guest wrote and stands on an image that went on without it."""
    return f"{layer}.left"


def is_left(path: str) -> bool:
    """Whether a file is called so."""
    return path.endswith(left_path(".qcow2"))


def layer_path(home: str, target: str, job: UUID) -> str:
    """The file of the layer that a job puts on top of a volume."""
    if not TARGET.fullmatch(target):
        raise ValueError(f"not a disk target: {target!r}")
    return f"{home}/{target}-{job}.qcow2"


def snapshot_folder(home: str, snapshot: UUID) -> str:
    """Where a snapshot's manifest, VM definition, NVRAM and memory lie."""
    return f"{home}/{snapshot}.snapshot"


def volume_snapshot_path(home: str, volume_snapshot: UUID) -> str:
    """The standalone image of a VolumeSnapshot; it outlives the snapshot it came from."""
    return str(PurePosixPath(home).parent / VOLUMES / f"{volume_snapshot}.qcow2")


def is_volume_snapshot(path: str, volume_snapshot: UUID) -> bool:
    """Whether a file is the image of this VolumeSnapshot, in a folder that Stillframe made for such images."""
    return PurePosixPath(path).parts[-3:] == (FOLDER, VOLUMES, f"{volume_snapshot}.qcow2")


def check_key(key: str | None) -> None:
    """Raises Invalid unless the idempotency key is absent or 1 to 255 visible ASCII characters."""
    if key is not None and not (0 < len(key) <= LONGEST_KEY and all("!" <= letter <= "~" for letter in key)):
        raise Invalid(detail=f"an idempotency key has 1 to {LONGEST_KEY} visible ASCII characters")
