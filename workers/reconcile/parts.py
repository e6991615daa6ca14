"""Files that were being written when their writer died. Their names say whose they were, and nothing reads them."""

import re
from collections.abc import Iterator

from stillframe.findings import Kind, Repair
from stillframe.names import is_left
from stillframe.states import ENDED
from workers.reconcile.look import Found, Look, id_in, json_in, remove

#: As `hypervisor.files.beside` names what it writes, before a name of ours.
_PART = re.compile(r".*\.(qcow2|json|xml|fd|save)\.part")


def examine(look: Look) -> Iterator[Found]:
    """In the homes, and in the folders of snapshots there."""
    for path in look.in_homes:
        if path.endswith(".snapshot"):
            for inside in look.images.listing(path):
                if is_part(inside) and id_in(path) not in look.busy:
                    yield _part(look, inside)
        elif is_part(path) and (id_ := id_in(path)) and id_ not in look.busy:
            yield _part(look, path)
        elif is_left(path):
            detail = "It holds what the guest wrote last before libvirt and QEMU died; the VM was started without it."
            yield look.found(Kind.LAYER_LEFT, path, detail, size=look.images.size_bytes(path))
        elif path.endswith(".before.xml") and (id_ := id_in(path)) and id_ not in look.busy:
            over = look.rows.job_states([id_]).get(id_) in ENDED
            yield look.found(
                Kind.FILE_PART,
                path,
                "The definition that a revert kept to go back to."
                + (" The revert has ended." if over else ""),
                size=look.images.size_bytes(path),
                repair=Repair.REPAIR if over else Repair.NONE,
                act=remove(look.images, path) if over else None,
            )


def marks_left(look: Look) -> Iterator[Found]:
    """Marks of merges that are over: the base holds everything, and the layer that was merged down is gone."""
    for path in look.in_homes:
        mark = json_in(look.images, path) if path.endswith(".merging.json") else {}
        over = mark.get("whole") is True and not look.images.exists(str(mark.get("top", "")))
        if over and id_in(str(mark.get("job", ""))) not in look.busy:
            yield look.found(
                Kind.FILE_PART,
                path,
                "The mark of a merge that is over.",
                repair=Repair.ITSELF,
                act=remove(look.images, path),
            )


def is_part(path: str) -> bool:
    """Whether a file is one that was still being written."""
    return _PART.fullmatch(path.rsplit("/", 1)[-1]) is not None


def _part(look: Look, path: str) -> Found:
    return look.found(
        Kind.FILE_PART,
        path,
        "A file that was still being written when its writer died.",
        size=look.images.size_bytes(path),
        repair=Repair.ITSELF,
        act=remove(look.images, path),
    )
