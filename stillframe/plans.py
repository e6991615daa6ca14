"""The steps of each kind of job, by name, with a sentence for people: what a plan shows before anything is done."""

from collections.abc import Iterator, Sequence

from stillframe.layers import Merge, Unlink
from stillframe.states import SnapshotType

CUT = {
    SnapshotType.HOT: "Freezes every volume in one instant and lets the VM go on in the new layers.",
    SnapshotType.MEMORY: "Saves the RAM and freezes every volume in one instant; the VM goes on in the new layers.",
    SnapshotType.COLD: "Points the definition of the VM at the new layers; the old ones are frozen.",
}
_COLLECT = {
    "plan_collection": "Decides from the images themselves what nothing needs any more.",
    "collect": "",
    "note_current": "Notes in the VM's metadata which snapshot it stands on.",
}
#: In order. Where `collect` stands are the steps of each act that gives back space.
STEPS: dict[str, dict[str, str]] = {
    "create_snapshot": {
        "check_vm": "Looks at the VM and refuses what cannot be.",
        "make_layers": "Makes an empty layer for each volume, so that the VM waits for nothing.",
        "cut": CUT[SnapshotType.HOT],
        "keep_snapshot": "Keeps the UEFI variables and writes the manifest: from here on the snapshot is there.",
    },
    "revert_snapshot": {
        "check_snapshot": "Sees that all files of the snapshot are there and whole.",
        "make_heads": "Makes an empty layer on each layer that the snapshot froze.",
        "switch_definition": "Gives the VM the definition of the snapshot; it goes on as it is so far.",
        "stop_vm": "Ends the VM: from here on there is no way back.",
        "bring_back": "Brings the VM back as it shall be.",
        **_COLLECT,
    },
    "delete_snapshot": {
        "check_snapshot": "Looks at the VM and at what the snapshot froze.",
        "drop_reference": "Marks the snapshot as deleted: from here on it cannot be had again.",
        **_COLLECT,
        "remove_folder": "Removes its memory, UEFI variables and manifest.",
    },
    "prune_snapshots": {
        "check_snapshot": "Looks at the VM and at what the snapshots froze.",
        "drop_reference": "Marks the snapshots as deleted: from here on they cannot be had again.",
        **_COLLECT,
        "remove_folder": "Removes their memory, UEFI variables and manifests.",
    },
    "extract_volume": {
        "check_snapshot": "Finds the frozen layer and sees that there is room for the copy.",
        "copy_volume": "Copies what the layer reads as into an image that needs no other.",
        "sum_up": "Writes down its sizes and, if it is not large, its checksum.",
    },
    "delete_volume": {
        "check_volume": "Sees that no VM and no other image uses it.",
        "remove_image": "Removes the image and what lies beside it: from here on it cannot be had again.",
    },
}
#: The same of a snapshot that another tool made.
FOREIGN_STEPS: dict[str, dict[str, str]] = {
    "revert_snapshot": {
        "check_snapshot": "Sees that every image has the snapshot, and that nobody stands on these images.",
        "note_revert": "Notes in the VM's metadata that it is to be reverted.",
        "go_back": "Lets libvirt bring the images back: from here on there is no way back.",
        "bring_back": "Brings the VM back as it shall be.",
    },
    "delete_snapshot": {
        "check_snapshot": "Sees what there is of it.",
        "remove_internal": "Lets libvirt remove it from the images; the files do not shrink.",
    },
    "extract_volume": {
        "check_snapshot": "Finds the image that has it and sees that there is room for the copy.",
        "copy_volume": "Copies what the image held then, twice, and sees that both are the same.",
        "sum_up": "Writes down its sizes and, if it is not large, its checksum.",
    },
}
#: The steps of one act, each named `step:volume:number`.
OF_A_MERGE = {
    "mark": "Writes beside {base} that it is about to be half merged.",
    "commit": "Copies what {top} holds down into {base}.",
    "pivot": "Lets the VM go on in {base}, if it stood on {top}.",
    "repoint": "Lets whatever stood on {top} stand on {base}.",
    "unlink": "Removes {top}, which nothing needs any more.",
}
OF_AN_UNLINK = {"unlink": "Removes {path}, which nothing needs."}


def steps(
    kind: str, acts: Sequence[Merge | Unlink] = (), type_: SnapshotType = SnapshotType.HOT
) -> Iterator[tuple[str, str]]:
    """The steps that a job of this kind will have, with their sentences. `type_` is that of a new snapshot."""
    for name, words in STEPS[kind].items():
        if name == "collect":
            yield from _of_acts(acts)
        else:
            yield name, CUT[type_] if name == "cut" else words


def foreign_steps(kind: str) -> Iterator[tuple[str, str]]:
    """The steps of a job about a snapshot that another tool made."""
    yield from FOREIGN_STEPS[kind].items()


def _of_acts(acts: Sequence[Merge | Unlink]) -> Iterator[tuple[str, str]]:
    for number, act in enumerate(acts):
        sentences = OF_A_MERGE if isinstance(act, Merge) else OF_AN_UNLINK
        files = {name: _file(getattr(act, name, "")) for name in ("base", "top", "path")}
        for name, words in sentences.items():
            yield f"{name}:{act.target}:{number}", words.format(**files)


def _file(path: str) -> str:
    return path.rsplit("/", 1)[-1]
