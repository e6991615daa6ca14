"""A snapshot that somebody took with virsh, seen and used over HTTP."""

from pathlib import Path

import pytest

from lab import readback
from stillframe.errors import StillframeError
from tests.given import given
from tests.journeys.site import Json, Site, until


def foreign(site: Site, vm: str) -> list[Json]:
    """The VM's snapshots of other tools."""
    return [*site.client.snapshots(vm=vm, origin="foreign")["items"]]


def test_a_snapshot_of_virsh(site: Site) -> None:
    """It is listed soon after it was taken, extracted from while the guest writes, reverted to and deleted; then ours go."""
    guest = site.guest("qcow2")
    before = guest.wait_tick()
    vm = site.seen(guest)["id"]
    guest.domain.snapshotCreateXML("<domainsnapshot><name>virsh 1</name></domainsnapshot>", 0)
    after = guest.wait_tick(after=guest.wait_tick().counter)
    until(lambda: foreign(site, vm), 20, "it is listed")
    (row,) = foreign(site, vm)
    assert (row["name"], row["type"], row["state"], row["foreign"]["kind"]) == (
        "virsh 1",
        "memory",
        "ready",
        "internal",
    )
    refused = site.wait(site.client.create_snapshot(vm))
    assert (refused["state"], refused["error"]["code"]) == ("failed", "vm.foreign_internal_snapshots")

    job = site.succeeded(site.client.extract_volume(row["id"], "vda"))
    copy = site.client.volume(job["volume_snapshot_id"])
    counter, boot = readback.counter(Path(given(copy["path"])))
    assert boot == before.boot_id
    assert before.counter <= counter <= after.counter

    later = guest.wait_tick(after=after.counter + 10)
    job = site.succeeded(site.client.revert_snapshot(row["id"]))
    assert [step["name"] for step in job["steps"]] == [
        "check_snapshot",
        "note_revert",
        "go_back",
        "bring_back",
    ]
    tick = guest.wait_tick()
    assert (tick.boot_id, tick.counter < later.counter) == (before.boot_id, True)
    assert foreign(site, vm)[0]["current"]

    job = site.succeeded(site.client.delete_snapshot(row["id"]))
    assert site.story(job)[-2:] == ["job.succeeded", "snapshot.deleted"]
    assert foreign(site, vm) == []
    site.succeeded(site.client.create_snapshot(vm))
    assert guest.wait_tick(after=tick.counter).boot_id == before.boot_id


def test_a_snapshot_that_virsh_deletes_again(site: Site) -> None:
    """What another tool takes away is deleted here too by the time somebody looks, and cannot be asked for any more."""
    guest = site.guest("qcow2")
    vm = site.seen(guest)["id"]
    taken = guest.domain.snapshotCreateXML("<domainsnapshot><name>a</name></domainsnapshot>", 0)
    until(lambda: foreign(site, vm), 20, "it is listed")
    (row,) = foreign(site, vm)
    taken.delete(0)
    guest.domain.suspend()  # of the deletion itself libvirt says nothing to who listens
    guest.domain.resume()
    until(lambda: not foreign(site, vm), 20, "it is listed no more")
    assert site.client.snapshot(row["id"])["state"] == "deleted"
    with pytest.raises(StillframeError) as refused:
        site.client.revert_snapshot(row["id"])
    assert refused.value.code == "snapshot.not_ready"
