"""What people do to disks, seen by a reconciler that believes the worst of every job: no file goes that somebody may want."""

from collections.abc import Callable
from uuid import UUID

import pytest

from hypervisor import fake_foreign
from hypervisor.port import Source
from stillframe.findings import Kind
from stillframe.states import JobState, VmState
from tests.workers.fake_world import ok
from tests.workers.nothing_is_lost.hurt import without
from tests.workers.reconcile.site import ALL, Site
from workers import manifests


def detached(site: Site) -> None:
    """Volume vdb was taken out of the definition."""
    site.guest.shut_down()
    vm = site.world.host.vm(site.guest.uuid)
    vm.define(without(vm.definition(), "vdb"), {})


def moved_to_another_vm(site: Site) -> None:
    """Volume vdb is attached to vm2 now, which is off."""
    head = site.world.tree().heads["vdb"]
    detached(site)
    other = site.world.machine.create_vm("vm2", state=VmState.OFF)
    vm2 = site.world.host.vm(other.uuid)
    vm2.define(vm2.definition(), {"vda": Source(head, "qcow2")})


def old_definition_put_back(site: Site) -> None:
    """The VM boots from its first images again."""
    site.guest.shut_down()
    vm = site.world.host.vm(site.guest.uuid)
    first = {target: Source(f"/images/vm1/{target}.qcow2", "qcow2") for target in ("vda", "vdb")}
    vm.define(vm.definition(), first)


def moved_to_other_storage(site: Site) -> None:
    """Volume vda was copied away by another tool, and the VM runs on the copy."""
    with site.world.machine.world() as inside:
        inside.files["/new/vda.qcow2"] = inside.files["/images/vm1/vda.qcow2"]
    site.guest.shut_down()
    vm = site.world.host.vm(site.guest.uuid)
    vm.define(vm.definition(), {"vda": Source("/new/vda.qcow2", "qcow2")})


def overlay_of_another_tool(site: Site) -> None:
    """`virsh snapshot-create-as --disk-only` put its own layers on ours."""
    with site.world.machine.world() as inside:
        fake_foreign.take_external(inside, inside.vms[str(site.guest.uuid)], "by-virsh")


def manifest_moved_away(site: Site) -> None:
    """A person moved a snapshot's folder, and will bring it back."""
    site.images.rename(site.world.folder(site.world.ids["s2"]) or "", "/elsewhere")


def manifests_gone_and_rows_too(site: Site) -> None:
    """Neither the host nor the rows know of the snapshots any more: only the layers are left."""
    for one in site.world.manifests():
        site.images.remove(manifests.path_in(one.folder))
    site.rows.of_snapshots.clear()


def clone_on_a_frozen_layer(site: Site) -> None:
    """A linked clone stands on a layer that s1 froze, and s1 is deleted."""
    layer = site.world.tree().frozen[site.world.ids["s1"]]["vda"]
    site.world.machine.create_vm("vm2", state=VmState.OFF)
    with site.world.machine.world() as inside:
        clone = inside.files["/images/vm2/vda.qcow2"]
        clone.backing, clone.backing_format = layer, "qcow2"
    site.done(site.world.delete("s1"))


def volume_of_a_deleted_snapshot(site: Site) -> None:
    """The extracted image outlives its snapshot, and its row is gone."""
    ok(site.world.extract("s1").to_the_end())
    site.done(site.world.delete("s1"))


@pytest.mark.parametrize(
    "act",
    [
        detached,
        moved_to_another_vm,
        old_definition_put_back,
        moved_to_other_storage,
        overlay_of_another_tool,
        manifest_moved_away,
        manifests_gone_and_rows_too,
        clone_on_a_frozen_layer,
        volume_of_a_deleted_snapshot,
    ],
    ids=lambda act: act.__name__,
)
@pytest.mark.parametrize("ticks", [True, False], ids=["written to", "heads are empty"])
def test_no_layer_goes(act: Callable[[Site], None], ticks: bool) -> None:
    """With every repair allowed, and rows that say of every job that it failed, all images stay."""
    site = Site({"vda": "qcow2", "vdb": "qcow2"})
    site.take("s1")
    site.done(site.world.create("s2", "hot"))
    if ticks:
        site.guest.tick()
    act(site)
    site.rows.jobs = dict.fromkeys(_jobs(site), JobState.FAILED)
    before = site.world.files()

    found = site.look(ALL)

    gone = {path for path in before - site.world.files() if path.endswith(".qcow2")}
    assert gone == set(), [one for one in found if one.repaired]
    assert Kind.LAYER_ORPHAN not in {one.kind for one in found if one.repaired}


def _jobs(site: Site) -> set[UUID]:
    """Those whose ids are in the names of layers, and those that rows know."""
    names = {
        path.rsplit("/", 1)[1].removesuffix(".qcow2") for path in site.world.files() if site.home in path
    }
    return {UUID(name.split("-", 1)[1]) for name in names if name.count("-") == 5} | set(site.rows.jobs)
