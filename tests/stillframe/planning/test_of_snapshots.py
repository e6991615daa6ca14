"""The plans of reverting to, deleting and extracting out of a snapshot."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from stillframe.layers import Tree
from stillframe.operations import DeleteSnapshot, ExtractVolume, PruneSnapshots, RevertSnapshot
from stillframe.planning import Forecast, plan_delete, plan_extract, plan_revert
from stillframe.states import SnapshotState, SnapshotType, VmState
from tests.stillframe.planning.some import FORK, GIB, LINE, MIB, S1, S2, S3, snapshot, vm, volume


def deleted(id_: UUID, tree: Tree = LINE, said: dict[str, Any] | None = None, **about: Any) -> Forecast:
    one = snapshot(id_, tree, **about)
    return plan_delete(DeleteSnapshot(snapshot_id=str(id_)), vm(tree, **said or {}), [one])


def reverted(id_: UUID, after: Any = "keep", said: dict[str, Any] | None = None, **about: Any) -> Forecast:
    one = snapshot(id_, FORK, **about)
    return plan_revert(RevertSnapshot(snapshot_id=str(id_), after=after), vm(FORK, **said or {}), one)


def codes(made: Forecast) -> list[str]:
    return [error.code for _, error in made.refusals]


def told(made: Forecast) -> dict[str, str]:
    return {one.code: one.detail for one in made.consequences}


def test_a_snapshot_in_the_line_is_merged_down() -> None:
    """What lies above goes down into its layer: moved, freed, and at most so much more in the base."""
    made = deleted(S1)
    assert (made.bytes.moved, made.bytes.freed, made.bytes.needed) == (GIB, GIB, GIB)
    assert [place.where for place in made.bytes.places] == ["/i/stillframe"]
    assert "layer_hidden" not in told(made)


def test_two_side_by_side_are_one_merge() -> None:
    """Together they move each layer once; apart, the data of the upper would go down twice."""
    both = [snapshot(one, LINE) for one in (S1, S2)]
    wish = PruneSnapshots(snapshot_ids=(str(S1), str(S2)))
    made = plan_delete(wish, vm(LINE), both)
    assert [name for name, _ in made.steps if name.startswith("commit:")] == ["commit:vda:0"]
    assert made.bytes.moved == GIB + 7
    assert told(made)["snapshots_lost"] == "2 snapshots cannot be brought back: s1, s2."


def test_one_of_another_tool_is_not_deleted_together() -> None:
    """It is to be deleted by itself, and the plan says so."""
    both = [
        snapshot(S1, LINE),
        replace(snapshot(S2, LINE), facts=replace(snapshot(S2, LINE).facts, foreign=True)),
    ]
    made = plan_delete(PruneSnapshots(snapshot_ids=(str(S1), str(S2))), vm(LINE), both)
    assert codes(made) == ["snapshot.foreign_together"]


def test_the_layer_of_a_fork_stays_hidden() -> None:
    """Two branches stand on it: nothing is merged or freed, and it is said which bytes stay and why."""
    made = deleted(S1, FORK)
    assert (made.bytes.moved, made.bytes.freed) == (0, 0)
    assert "5.0 GiB" in told(made)["layer_hidden"]
    assert "2 branches" in told(made)["layer_hidden"]


def test_the_end_of_a_branch_is_unlinked() -> None:
    """Its file goes, nothing is copied."""
    made = deleted(S3, FORK)
    assert (made.bytes.moved, made.bytes.freed) == (0, 3 * GIB)


def test_memory_goes_with_its_snapshot() -> None:
    """Its bytes are freed too."""
    made = deleted(S2, type_=SnapshotType.MEMORY, memory_bytes=GIB)
    assert made.bytes.freed == GIB + 7
    assert "memory_lost" in told(made)


@pytest.mark.parametrize(
    ("said", "when", "code"),
    [
        ({"persistent": False}, "request", "vm.transient"),
        ({"managed_save": True}, "job", "vm.managed_save"),
        ({"foreign_snapshots": ("theirs",)}, "job", "vm.foreign_snapshots"),
        ({"volumes": (volume(free_bytes=GIB - 1),)}, "job", "storage.not_enough_space"),
    ],
)
def test_what_is_in_the_way_of_a_deletion(said: dict[str, Any], when: str, code: str) -> None:
    """Each by its code; a base has to have room for what may come down."""
    made = deleted(S1, said=said)
    assert [(when_, error.code) for when_, error in made.refusals] == [(when, code)]


def test_a_snapshot_that_never_came_to_be_is_always_deleted() -> None:
    """Nothing of it lies on the host, so nothing of the VM matters."""
    made = deleted(UUID(int=7), said={"managed_save": True}, state=SnapshotState.ERROR, has_files=False)
    assert made.allowed
    assert made.bytes.freed == 0


def test_a_base_grows_no_larger_than_its_volume() -> None:
    """However much comes down: what is full already can only be overwritten."""
    full = {
        **LINE.layers,
        "/i/a": LINE.layers["/i/a"].__class__("/i/a", "vda", "qcow2", None, 20 * GIB, 20 * GIB),
    }
    made = deleted(S1, Tree(full, LINE.heads, LINE.frozen))
    assert (made.bytes.needed, made.bytes.places, made.bytes.moved) == (0, (), GIB)


def test_layers_that_are_not_known_are_said_to_be() -> None:
    """The plan is made without bytes, and warns."""
    made = deleted(S1, Tree({}, {}, {S1: {"vda": "/i/a"}}))
    assert made.allowed
    assert [warning.code for warning in made.warnings] == ["vm.layers_unknown"]


def test_a_revert_tells_what_is_lost_and_what_stays() -> None:
    """The head with its bytes goes; the other snapshots stay; a VM that runs is powered off."""
    made = reverted(S3)
    assert made.bytes.freed == 7
    assert "since snapshot s2 is lost: 7 B" in told(made)["present_lost"]
    assert "2 other snapshots" in told(made)["others_untouched"]
    assert "powered_off" in told(made)
    assert made.pause.kind == "power_off"


def test_a_memory_revert_cuts_connections() -> None:
    """No boot, but the console and the network notice; `after` does not apply."""
    made = reverted(S1, type_=SnapshotType.MEMORY, memory_bytes=GIB)
    assert {"console_cut", "present_lost"} <= set(told(made))
    assert made.pause.expected_ms is not None
    assert codes(reverted(S1, "stop", type_=SnapshotType.MEMORY)) == ["revert.after_not_for_memory"]


def test_a_revert_of_a_vm_that_is_off_pauses_nothing() -> None:
    """It stays off, or is started if that is asked."""
    off = {"state": VmState.OFF}
    assert reverted(S1, said=off).pause.kind == "none"
    assert "powered_off" not in told(reverted(S1, said=off))
    assert "started" in reverted(S1, "start", said=off).pause.why
    assert "stays off" in reverted(S1, "stop").pause.why


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"persistent": False}, "vm.transient"),
        ({"managed_save": True}, "vm.managed_save"),
        ({"foreign_snapshots": ("theirs",)}, "vm.foreign_snapshots"),
        ({"volumes": (volume(free_bytes=MIB),)}, "storage.not_enough_space"),
    ],
)
def test_what_is_in_the_way_of_a_revert(said: dict[str, Any], code: str) -> None:
    """Each by its code."""
    assert codes(reverted(S1, said=said)) == [code]


def test_volumes_that_came_since_are_named() -> None:
    """A volume that the snapshot does not have may be detached by the revert."""
    made = reverted(S1, said={"volumes": (volume(), volume(target="vdb"))})
    assert told(made)["volumes_not_in_it"].startswith("vdb:")


def test_a_tpm_is_not_brought_back_with_disks() -> None:
    """With RAM it is, if it is an emulated one."""
    assert [one.code for one in reverted(S1, said={"tpm": "emulator"}).warnings] == ["vm.tpm_not_kept"]
    made = reverted(S1, said={"tpm": "emulator"}, type_=SnapshotType.MEMORY)
    assert made.warnings == ()


def test_an_extract_takes_what_its_chain_holds() -> None:
    """All below the frozen layer, at most the size of the volume; refused where it does not fit."""

    def extracted(target: str = "vda", **said: Any) -> Forecast:
        wish = ExtractVolume(snapshot_id=str(S2), target=target, name="v")
        return plan_extract(wish, vm(**said), snapshot(S2), name_taken=bool(said.get("ahead")))

    assert extracted().bytes.needed == 6 * GIB
    assert codes(extracted(volumes=(volume(free_bytes=6 * GIB - 1),))) == ["storage.not_enough_space"]
    assert codes(extracted("vdz")) == ["volume.not_found"]
    assert codes(extracted(ahead=1)) == ["volume_snapshot.name_taken"]
    assert extracted(volumes=()).allowed


@pytest.mark.parametrize("state", [SnapshotState.CREATING, SnapshotState.DELETING, SnapshotState.ERROR])
def test_the_rules_of_snapshots_come_first(state: SnapshotState) -> None:
    """A snapshot that is not ready is not reverted to."""
    assert codes(reverted(S1, state=state)) == ["snapshot.not_ready"]
