"""Snapshots that other tools made in a VM's images: reverted to, deleted and extracted from, where nothing breaks by it.

libvirt and QEMU do the work, on their own records; Stillframe looks first whether they can, and afterwards whether they have.
"""

import json
from collections.abc import Iterable
from typing import cast
from uuid import UUID

from hypervisor.port import ForeignSnapshot, Source, VmFacts, VolumeFacts
from stillframe.errors import (
    AfterNotForMemory,
    ForeignCannot,
    HypervisorFailed,
    SnapshotDamaged,
    VolumeNotFound,
)
from stillframe.names import volume_snapshot_path
from stillframe.operations import ExtractVolume, RevertSnapshot
from stillframe.rules import ALIVE, check_room
from stillframe.states import VmState
from workers import manifests
from workers.foreign import targets_holding, why_not
from workers.guard import needed_by
from workers.operations.collecting import check_jobs, check_quiet
from workers.operations.extract_volume import remove_copy, sum_up
from workers.operations.turns import wait_for_turn
from workers.reading import home_for
from workers.steps import Output, Plan, Step, Work


def check_revert(work: Work) -> Output:
    """Sees that every image has it and that nothing stands on what will be written anew."""
    facts = work.vm.facts()
    check_quiet(work, facts)
    one = _usable(work, facts, "revert")
    after = cast(RevertSnapshot, work.operation).after
    if one.with_memory and after != "keep":
        raise AfterNotForMemory(after=after)
    heads = [volume.path for volume in facts.volumes if volume.path]
    if user := needed_by(work, heads, work.reader.tree(facts), own_too=False):
        raise ForeignCannot(snapshot=one.name, why=f"{user} stands on the images that would be written anew")
    wanted = {"keep": facts.state, "start": VmState.RUNNING, "stop": VmState.OFF}[after]
    return {"name": one.name, "memory": one.with_memory, "note": facts.note, "wanted": wanted}


def note_revert(work: Work) -> Output:
    """Notes in the VM's definition that it is to be reverted. The revert brings back a definition without that note."""
    work.vm.note(_note(work))
    return {}


def drop_note(work: Work) -> None:
    """The note is what it was."""
    if is_noted(work):
        work.vm.note(work.outputs["check_snapshot"]["note"] or manifests.note_of(None))


def go_back(work: Work) -> Output:
    """The present state is given up. libvirt ends what a worker that died has begun: as long as the note is there, it has not."""
    wait_for_turn(work)
    if is_noted(work):
        work.vm.revert_internal(work.outputs["check_snapshot"]["name"])
    return {}


def bring_back(work: Work) -> Output:
    """With RAM the VM is as it was; without, it is started or left off, as asked."""
    found = work.outputs["check_snapshot"]
    state = work.vm.facts().state
    if found["memory"] and state in ALIVE:
        work.vm.set_clock()
    elif not found["memory"] and state not in ALIVE and VmState(found["wanted"]) in ALIVE:
        work.vm.start(paused=found["wanted"] == VmState.PAUSED)
    return {"state": work.vm.facts().state}


def check_delete(work: Work) -> Output:
    """Sees that it can be removed; one that is gone already is as well deleted."""
    facts = work.vm.facts()
    if find_meant(work, facts) is None:
        return {"there": False}
    check_jobs(work, facts)
    _usable(work, facts, "delete")
    return {"there": True}


def remove_internal(work: Work) -> Output:
    """Removes it from the images, and libvirt's record of it; the space is free inside them, they do not shrink."""
    if work.attempt > 1:
        wait_for_turn(work)
    end_pause(work)
    facts = work.vm.facts()
    paused = work.pause_for_internal_delete and facts.state == VmState.RUNNING
    if one := find_meant(work, facts):
        if paused:
            _delete_paused(work, one)
        else:
            work.vm.delete_internal(one.name)
    if find_meant(work, work.vm.facts()):
        raise HypervisorFailed(detail="libvirt has deleted the snapshot, and it is still there")
    return {"paused": paused}


def _delete_paused(work: Work, one: ForeignSnapshot) -> None:
    with work.wards.pause(ours=True):
        work.vm.pause()
        try:
            work.vm.delete_internal(one.name)
        finally:
            work.vm.resume()
            work.wards.over()


def end_pause(work: Work) -> None:
    """Lets a VM go on that this job has paused, and whose worker did not live to do it; a user's pause is not on record."""
    ward = work.wards.left()
    if ward is None:
        return
    if work.vm.facts().state == VmState.PAUSED:
        work.vm.resume()
    work.wards.over()


def check_extract(work: Work) -> Output:
    """Finds the image that has it and sees that there is room for two copies: it is read twice."""
    facts = work.vm.facts()
    one = _usable(work, facts, "extract")
    target = cast(ExtractVolume, work.operation).target
    if target not in (holding := targets_holding(work.images, one)):
        raise VolumeNotFound(where="snapshot", target=target, targets=", ".join(holding))
    source = one.volumes[target]
    home = _home(work, facts, target, source)
    path = volume_snapshot_path(home, cast(UUID, work.volume_snapshot))
    chain = work.images.chain(source, "qcow2")
    needed = 2 * min(sum(image.size_bytes for image in chain), chain[0].virtual_bytes)
    check_room(home, work.images.free_bytes(path), needed, f"the copy of {target}, which is made twice")
    return {
        "name": one.name,
        "source": source,
        "path": path,
        "virtual_bytes": chain[0].virtual_bytes,
        "entry": _entry(work, source, one.name),
    }


def copy_volume(work: Work) -> Output:
    """Copies what the image held then, while the VM goes on; the snapshot must be the same one afterwards."""
    found = work.outputs["check_snapshot"]
    if not work.images.exists(found["path"]):
        source = Source(found["source"], "qcow2")
        work.images.convert_internal(source, found["name"], found["path"], work.pulse)
    if _entry(work, found["source"], found["name"]) != found["entry"]:
        missing = "it was deleted, or made anew, while it was read"
        raise SnapshotDamaged(snapshot=found["name"], missing=missing)
    return {}


REVERT_FOREIGN = Plan(
    "revert_snapshot",
    Step("check_snapshot", check_revert),
    Step("note_revert", note_revert, undo=drop_note),
    Step("go_back", go_back, final=True),
    Step("bring_back", bring_back, final=True),
)
DELETE_FOREIGN = Plan(
    "delete_snapshot",
    Step("check_snapshot", check_delete),
    Step("remove_internal", remove_internal, undo=end_pause, final=True),
)
EXTRACT_FOREIGN = Plan(
    "extract_volume",
    Step("check_snapshot", check_extract),
    Step("copy_volume", copy_volume, undo=remove_copy),
    Step("sum_up", sum_up),
    result="sum_up",
)


def find_meant(work: Work, facts: VmFacts) -> ForeignSnapshot | None:
    """The snapshot the job is about, if it is there: another of its name is not meant."""
    meant = work.foreign or {}
    for one in facts.foreign_snapshots:
        if (one.name, one.created_at) == (meant.get("name"), meant.get("created_at")):
            return one
    return None


def is_noted(work: Work) -> bool:
    """Whether the VM still has the definition of before the revert."""
    return work.vm.facts().note == _note(work)


def _usable(work: Work, facts: VmFacts, action: str) -> ForeignSnapshot:
    one = find_meant(work, facts)
    if one is None:
        raise SnapshotDamaged(snapshot=(work.foreign or {}).get("name"), missing="nobody knows it any more")
    tree = work.reader.tree(facts) if action == "revert" else None
    if why := why_not(action, work.images, one, facts, tree):
        raise ForeignCannot(snapshot=one.name, why=why)
    return one


def _note(work: Work) -> str:
    return json.dumps({"reverting": str(work.job)})


def _home(work: Work, facts: VmFacts, target: str, path: str) -> str:
    storage = "block" if path.startswith("/dev/") else "file"
    return home_for(facts, VolumeFacts(target, storage, path, "qcow2"), work.block_layers_folder)


def _entry(work: Work, path: str, name: str) -> list[int]:
    image = work.images.facts(path, "qcow2")
    entries: Iterable[list[int]] = (
        [one.created_at, one.memory_bytes] for one in (image.internal if image else ()) if one.name == name
    )
    return next(iter(entries), [])
