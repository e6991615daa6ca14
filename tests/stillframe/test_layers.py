"""The tree of layers, and what is collected from it."""

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from stillframe.layers import Merge, Unlink, collect
from tests.stillframe.layer_world import World


def collected(world: World) -> list[Unlink | Merge]:
    """Collects, checking after every single act that nobody sees a difference."""
    acts = collect(world.tree(), world.tree().layers)
    before = world.reads()
    for act in acts:
        if isinstance(act, Merge):
            assert len(world.children(act.base)) == 1, "a base that others stand on was merged into"
            assert act.base in world.idle()
        else:
            assert world.children(act.path) == []
        world.carry_out(act)

        assert world.reads() == before

    assert collect(world.tree(), world.tree().layers) == ()
    return list(acts)


def branched() -> tuple[World, list[UUID]]:
    """s1, s2, s3, back to s2, s4: two branches grow out of s2."""
    world = World("vda")
    snapshots = []
    for number in range(3):
        world.write(number)
        snapshots.append(world.create())
    world.revert(snapshots[1])
    collected(world)
    world.write(7)
    snapshots.append(world.create())
    world.write(8)
    return world, snapshots


def test_current_and_parents_follow_the_branches() -> None:
    """After a revert and one more snapshot, the new one is current and grew out of the one reverted to."""
    world, (s1, s2, s3, s4) = branched()
    tree = world.tree()

    assert tree.current() == s4
    assert [tree.parent(one) for one in (s1, s2, s3, s4)] == [None, s1, s2, s2]


def test_revert_drops_the_head_that_nobody_kept() -> None:
    """The layer that was written since the last snapshot goes with a revert."""
    world = World("vda")
    s1 = world.create()
    world.write(1)
    world.revert(s1)

    assert collected(world) == [Unlink("vda", "vda/1")]


def test_deleting_where_branches_part_merges_nothing_until_one_is_gone() -> None:
    """A layer with two children stays, though no snapshot names it; once a branch is gone it is merged."""
    world, (_, s2, s3, _) = branched()
    world.delete(s2)

    assert collected(world) == []

    world.delete(s3)
    acts = collected(world)

    assert [type(act) for act in acts] == [Unlink, Merge]


def test_deleting_the_first_merges_its_layer_with_the_one_above() -> None:
    """The first image takes up the only layer on top of it, and that one's snapshot then names the image."""
    world, (s1, s2, _, _) = branched()
    world.delete(s1)

    assert collected(world) == [Merge("vda", "vda/base", "vda/1")]
    assert world.frozen[s2] == {"vda": "vda/base"}


def test_two_deletions_in_a_row_are_one_merge() -> None:
    """Idle layers that lie on top of each other go down in one pass over the data."""
    world = World("vda")
    snapshots = [world.create() for _ in range(4)]
    world.delete(snapshots[1])
    world.delete(snapshots[2])

    (act,) = collected(world)

    assert act == Merge("vda", "vda/1", "vda/3", ("vda/2",))


def test_deleting_everything_leaves_the_first_image_alone() -> None:
    """When no snapshot is left, the VM stands on its own first image again."""
    world, snapshots = branched()
    for snapshot in snapshots:
        world.delete(snapshot)
    collected(world)

    assert world.heads == {"vda": "vda/base"}
    assert list(world.files) == ["vda/base"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_any_set_of_a_line_costs_a_merge_for_each_run_of_neighbours(goes: list[bool]) -> None:
    """Whatever is deleted together: what lies side by side is one merge a volume, and no layer is moved twice."""
    world = World("vda", "vdb")
    snapshots = []
    for number, _ in enumerate(goes):
        world.write(number)
        snapshots.append(world.create())
    world.write(99)
    for snapshot, go in zip(snapshots, goes, strict=True):
        if go:
            world.delete(snapshot)

    acts = collected(world)

    runs = sum(go and not before for before, go in zip([False, *goes], goes, strict=False))
    assert all(isinstance(act, Merge) for act in acts)
    assert len(acts) == 2 * runs
    moved = [path for act in acts if isinstance(act, Merge) for path in (act.top, *act.between)]
    assert len(moved) == len(set(moved)) == 2 * sum(goes)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("wcrdk"), st.integers(0, 9)), max_size=25))
def test_collect_never_changes_what_anybody_sees(acts: list[tuple[str, int]]) -> None:
    """After any history all heads and snapshots read as before, and nothing is left that could go."""
    world = World("vda", "vdb")
    for act, number in acts:
        if act == "w":
            world.write(number)
        elif act == "c":
            world.create()
        elif act == "k":
            collected(world)
        elif world.frozen:
            chosen = sorted(world.frozen)[number % len(world.frozen)]
            (world.revert if act == "r" else world.delete)(chosen)
    collected(world)

    for path in world.idle():
        children = len(world.children(path))
        assert children > 1 or (children == 0 and world.files[path].backing is None)
