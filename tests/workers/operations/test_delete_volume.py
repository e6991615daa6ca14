"""Deleting an extracted volume, on the fake machine: the image goes, nothing that anybody uses does."""

from hypervisor.port import Source
from stillframe.names import volume_snapshot_path
from tests.workers.fake_world import Job, World, ok
from workers.carry import End, Ending


def extracted(world: World) -> tuple[Job, str]:
    """A volume extracted out of a snapshot, and where its image lies."""
    world.guest.tick()
    if "s1" not in world.ids:
        ok(world.create("s1", "hot").to_the_end())
    job = world.extract("s1")
    ok(job.to_the_end())
    return job, str(job.outputs["sum_up"]["path"])


def refused(ending: Ending) -> str:
    assert ending.end is End.FAILED
    assert ending.error
    assert ending.error["code"] == "volume_snapshot.in_use"
    return str(ending.error["detail"])


def test_the_image_goes_and_what_lies_beside_it() -> None:
    """Nothing is left of it, not of its folder either; the snapshot and the other volume stay, and the bytes are told."""
    world = World()
    ok(world.create("s1", "hot").to_the_end())
    before = world.files()
    first, path = extracted(world)
    second, other = extracted(world)
    job = world.delete_volume(first)
    ok(job.to_the_end())

    assert world.files() - before == {other, other.replace(".qcow2", ".json")}
    assert path not in world.files()
    assert job.outputs["remove_image"]["freed_bytes"] > 0
    ok(world.delete_volume(second).to_the_end())
    assert world.files() == before


def test_it_goes_when_snapshot_and_vm_are_gone() -> None:
    """The image outlives both, and is deleted all the same."""
    world = World()
    before = world.files()
    volume, _ = extracted(world)
    ok(world.delete("s1").to_the_end())
    world.machine.remove_vm(world.guest.uuid)
    ok(world.delete_volume(volume).to_the_end())
    assert not [path for path in world.files() - before if "volumes" in path]


def test_one_that_never_came_to_be_is_as_well_deleted() -> None:
    """Its extraction failed before it knew where to: there is nothing to remove, and the job succeeds."""
    world = World()
    ok(world.create("s1", "hot").to_the_end())
    before = world.files()
    ok(world.delete_volume(world.extract("s1")).to_the_end())
    assert world.files() == before


def test_what_a_vm_has_attached_stays() -> None:
    """Somebody gave the image to a VM as its disk: the refusal names the VM."""
    world = World()
    volume, path = extracted(world)
    other = world.machine.create_vm("vm2")
    with world.machine.world() as inside:
        row = inside.vms[str(other.uuid)]
        row.definition = row.definition.replace("/images/vm2/vda.qcow2", path)
    assert "VM vm2" in refused(world.delete_volume(volume).to_the_end())
    assert path in world.files()


def test_what_a_clone_stands_on_stays() -> None:
    """An image that somebody made on top of it, beside it, would be worth nothing without it."""
    world = World()
    volume, path = extracted(world)
    clone = path.rsplit("/", 1)[0] + "/clone.qcow2"
    world.host.images.create_layer(clone, Source(path, "qcow2"), 64 << 20)
    assert "clone.qcow2" in refused(world.delete_volume(volume).to_the_end())
    assert path in world.files()


def test_no_other_file_is_ever_removed() -> None:
    """A row that names a path which is not the image's own place, whatever wrote it there, removes nothing."""
    world = World()
    volume, _ = extracted(world)
    before = world.files()
    home = f"/images/vm1/stillframe/{world.guest.uuid}"
    for wrong in ("/images/vm1/vda.qcow2", volume_snapshot_path(home, world.ids["s1"])):
        job = world.delete_volume(volume)
        job.volume_path = wrong
        assert job.to_the_end().end is End.FAILED
    assert world.files() == before


def test_a_job_closed_by_hand_is_judged_by_the_image() -> None:
    """Still there: it has failed; gone: the volume is deleted, and what lay beside the image goes too."""
    world = World()
    before = world.files()
    volume, path = extracted(world)
    job = world.delete_volume(volume)
    assert job.settle().end is End.FAILED
    world.host.images.remove(path)
    assert world.delete_volume(volume).settle().end is End.SUCCEEDED
    assert not [path for path in world.files() - before if "volumes" in path]
