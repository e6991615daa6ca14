"""The instant of a snapshot: layers are made, the VM changes over to them, or is put back onto what is below."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from hypervisor.port import CutFacts, Source
from stillframe.errors import (
    AgentUnresponsive,
    ColdNeedsStopped,
    CutForgotten,
    HypervisorFailed,
    NotSurelyFrozen,
)
from stillframe.names import left_path, snapshot_folder
from stillframe.operations import CreateSnapshot
from stillframe.rules import ALIVE
from stillframe.states import Consistency, VmState
from workers import manifests, marks
from workers.operations import forgotten
from workers.operations.freeing import unlink
from workers.operations.merging import merge_at_once
from workers.operations.standstill import cut_frozen, cut_with_memory, is_held, thaw, wake
from workers.operations.turns import wait_for_turn
from workers.reading import usable
from workers.steps import Output, Work


def make_layers(work: Work) -> Output:
    """Makes all that the cut needs beforehand, so that the VM waits for nothing while it stands."""
    _make(work, layers_of(work))
    return {}


def drop_layers(work: Work) -> None:
    """Removes them again: the VM does not use them. One that holds what the guest wrote stays."""
    if "check_vm" not in work.outputs:
        return
    forgotten.put_aside(work, layers_of(work))
    layers = [layer.path for layer in layers_of(work).values()]
    if "make_layers" not in work.outputs:
        # Perhaps not even their home was made: that it is not there does not tell of a storage that is away.
        layers = [path for path in layers if work.images.exists(path)]
    unlink(work, layers)
    for folder in _folders(work):
        work.images.remove(folder)


def cut(work: Work) -> Output:
    """The instant itself. After an error it looks whether the cut happened all the same."""
    if _may_be_going_on(work):
        wait_for_turn(work)
    held = is_held(work)
    was_frozen = held and _is_cut(work)
    thaw(work)
    facts = None
    try:
        if left := forgotten.recover(work, layers_of(work), frozen_of(work)):
            raise CutForgotten(vm=work.wards.name, paths=", ".join(map(left_path, left)))
        if not _is_cut(work):
            facts = _cut_as_wished(work)
    except HypervisorFailed:
        # Disks pivot before libvirt resumes, thaws and answers: its "no" does not mean that nothing happened.
        if not _is_cut(work):
            raise
        was_frozen = is_held(work) and not held
    finally:
        _wake(work)
    if facts is None:
        thaw(work)
        # Who cut did not live to do it: libvirt's own words name layers that may be merged while the VM is off.
        work.vm.define(work.vm.definition(), layers_of(work))
        if memory := memory_of(work):
            # The power may have gone before it was on the storage: disks without their RAM are not what was asked for.
            work.vm.saved_definition(memory)
            work.images.sync(memory)
        if _must_be_frozen(work) and not was_frozen:
            raise NotSurelyFrozen(vm=work.wards.name)
    return _cut_output(work, facts, was_frozen)


def put_back(work: Work) -> None:
    """If the VM did change over to the new layers, merges them back into what they stand on."""
    if _may_be_going_on(work):
        wait_for_turn(work)
        _wake(work)
    thaw(work)
    if "check_vm" in work.outputs:
        forgotten.recover(work, layers_of(work), frozen_of(work))
    if _is_cut(work):
        for target, source in frozen_of(work).items():
            merge_at_once(work, target, layers_of(work)[target].path, source)
    elif _is_cut_on_paper(work):
        work.vm.define(work.vm.definition(), frozen_of(work))


def layers_of(work: Work) -> dict[str, Source]:
    """The new head of each volume, by target."""
    volumes = work.outputs["check_vm"]["volumes"]
    return {target: Source(volume["layer"], "qcow2") for target, volume in volumes.items()}


def frozen_of(work: Work) -> dict[str, Source]:
    """What each volume stands on from then on, by target."""
    volumes = work.outputs["check_vm"]["volumes"]
    return {target: Source(volume["path"], volume["format"]) for target, volume in volumes.items()}


def memory_of(work: Work) -> str | None:
    """Where RAM is kept; None if it is not."""
    if cast(CreateSnapshot, work.operation).type != "memory":
        return None
    return manifests.memory_in(work.outputs["check_vm"]["folder"])


def _folders(work: Work) -> set[str]:
    seen = work.outputs["check_vm"]
    return {snapshot_folder(volume["home"], work.snapshot) for volume in seen["volumes"].values()}


def _vm_state(work: Work) -> VmState:
    return VmState(work.outputs["check_vm"]["vm_state"])


def _may_be_going_on(work: Work) -> bool:
    """Whether somebody called for this cut before: another attempt, or this one over a connection that was lost."""
    if "make_layers" not in work.outputs:
        return False
    memory = memory_of(work)
    return work.attempt > 1 or (memory is not None and work.images.size_bytes(memory) > 0)


def _is_cut(work: Work) -> bool:
    if "check_vm" not in work.outputs:
        return False
    wanted = {layer.path for layer in layers_of(work).values()}
    if any(marks.read(work.images, path) for path in wanted):
        return False  # they are on their way down: what the VM stood on is no instant any more
    return bool(wanted & {volume.path for volume in work.vm.facts().volumes})


def _is_cut_on_paper(work: Work) -> bool:
    """Whether only the definition names the layers: somebody started the VM in the moment in which it was cut while off."""
    if "check_vm" not in work.outputs:
        return False
    named = {disk.path for disk in work.vm.disks_of(work.vm.definition())}
    return bool(named & {layer.path for layer in layers_of(work).values()})


def _make(work: Work, targets: Iterable[str]) -> None:
    if memory := memory_of(work):
        work.images.write_text(memory, "")
    volumes = work.outputs["check_vm"]["volumes"]
    for target in targets:
        below = Source(volumes[target]["path"], volumes[target]["format"])
        work.images.create_layer(volumes[target]["layer"], below, volumes[target]["virtual_bytes"])


def _cut_as_wished(work: Work) -> CutFacts:
    layers, memory = layers_of(work), memory_of(work)
    if gone := [target for target, layer in layers.items() if not work.images.exists(layer.path)]:
        _make(work, gone)  # what they held has gone down
    if new := {volume.target for volume in usable(work.vm.facts())} - set(layers):
        raise HypervisorFailed(
            detail=f"{', '.join(sorted(new))} was attached after the VM was looked at, and would be missing; ask again"
        )
    quiesce = cast(CreateSnapshot, work.operation).quiesce
    if _vm_state(work) not in ALIVE and (facts := work.vm.facts()).state in ALIVE:
        raise ColdNeedsStopped(vm=facts.name, state=facts.state)
    if memory and _vm_state(work) == VmState.RUNNING:
        return cut_with_memory(work, layers, memory)
    if not _wants_freeze(work, _vm_state(work)):
        return work.vm.cut(layers, memory, False, work.pulse)
    frozen = work.vm.is_frozen()
    if frozen:
        return _cut_of_frozen(work, layers, required=quiesce == "require")
    try:
        if frozen is None:
            raise AgentUnresponsive(vm=work.vm.facts().name, detail="no answer to guest-fsfreeze-status")
        return cut_frozen(work, layers, required=quiesce == "require")
    except AgentUnresponsive:
        thaw(work)
        if quiesce == "require":
            raise
        return work.vm.cut(layers, None, False, work.pulse)


def _cut_of_frozen(work: Work, layers: Mapping[str, Source], *, required: bool) -> CutFacts:
    """Whoever froze the filesystems has made them consistent already, and will thaw them: afterwards, or it was too early."""
    done = work.vm.cut(layers, None, False, work.pulse)
    if work.vm.is_frozen():
        return CutFacts(Consistency.FILESYSTEM, done.pause_ms, 0)
    if required:
        raise NotSurelyFrozen(vm=work.wards.name)
    return done


def _wants_freeze(work: Work, state: VmState) -> bool:
    """Whether the guest's filesystems are to be frozen for the cut."""
    operation = cast(CreateSnapshot, work.operation)
    return operation.type != "memory" and operation.quiesce != "never" and state == VmState.RUNNING


def _must_be_frozen(work: Work) -> bool:
    required = cast(CreateSnapshot, work.operation).quiesce == "require"
    return required and _wants_freeze(work, _vm_state(work))


def _wake(work: Work) -> None:
    if _vm_state(work) == VmState.RUNNING:
        wake(work)


def _cut_output(work: Work, facts: CutFacts | None, was_frozen: bool) -> dict[str, Any]:
    if facts is not None:
        died = facts.consistency == Consistency.STOPPED and _vm_state(work) in ALIVE
        return {
            # Of a VM that lost its power after the first look: nobody shut it down.
            "consistency": Consistency.CRASH if died else facts.consistency,
            "pause_ms": facts.pause_ms,
            "freeze_ms": facts.freeze_ms,
        }
    kind = Consistency.FILESYSTEM if was_frozen else Consistency.CRASH
    if memory_of(work):
        kind = Consistency.MEMORY
    elif _vm_state(work) not in ALIVE:
        kind = Consistency.STOPPED
    # Cut by an attempt that did not live to tell how: the least that is certain is recorded, and no figures.
    return {"consistency": kind, "pause_ms": None, "freeze_ms": None}
