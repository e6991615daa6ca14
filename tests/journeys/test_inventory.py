"""What the API knows of VMs it was never told of: the worker hears of them from libvirt."""

import time
from collections.abc import Callable
from uuid import UUID

import pytest

from stillframe.errors import StillframeError
from tests.journeys.site import Found, Json, Site, until
from tests.journeys.witness import Witness

#: Seconds within which a change of a VM is seen.
SOON_S = 2.0
Measured = Callable[[str, float], None]
Made = Callable[..., Witness]


def seen_in(true: Callable[[], Found | None], measured: Measured, what: str) -> Found:
    """Waits for what the API is to show, and insists that it shows it soon."""
    began = time.monotonic()
    found = until(true, 20, what)
    took = time.monotonic() - began
    measured(f"seen: {what}", took)
    assert took < SOON_S
    return found


def test_a_vm_defined_a_moment_ago(site: Site, measured: Measured) -> None:
    """A VM that was just defined with libvirt, and registered by nobody, can be snapshotted by its name."""
    guest = site.guest("qcow2", "raw", start=False)

    def accepted() -> Json | None:
        try:
            return site.client.create_snapshot(guest.name)
        except StillframeError as problem:
            if problem.code != "vm.not_found":
                raise
            return None

    job = site.succeeded(seen_in(accepted, measured, "a VM defined"))
    row = site.client.snapshot(job["snapshot_id"])
    assert (row["type"], row["state"], row["vm"]) == ("cold", "ready", {"id": guest.uuid, "name": guest.name})
    vm = site.client.vm(guest.name)
    assert (vm["id"], vm["host"], vm["state"]) == (guest.uuid, site.host, "off")
    assert [volume["target"] for volume in vm["volumes"]] == ["vda", "vdb"]


def test_a_vm_on_its_way(site: Site, measured: Measured) -> None:
    """Started, paused, resumed, stopped, renamed, undefined: the API shows each soon after, and refuses one that is gone."""
    guest = site.guest(start=False)
    id_ = site.seen(guest)["id"]
    domain = guest.domain

    def state() -> str:
        return str(site.client.vm(id_)["state"])

    domain.create()
    seen_in(lambda: state() == "running", measured, "a VM started")
    domain.suspend()
    seen_in(lambda: state() == "paused", measured, "a VM paused")
    domain.resume()
    seen_in(lambda: state() == "running", measured, "a VM resumed")
    domain.destroy()
    seen_in(lambda: state() == "off", measured, "a VM stopped")
    name = guest.name
    guest.name = f"{name}-renamed"
    domain.rename(guest.name)
    seen_in(lambda: site.client.vm(id_)["name"] == guest.name, measured, "a VM renamed")
    assert site.find_vm(name) is None
    done = site.succeeded(site.client.create_snapshot(guest.name))
    domain.undefine()
    seen_in(lambda: state() == "gone", measured, "a VM undefined")

    for asked in (guest.name, str(UUID(id_))):
        with pytest.raises(StillframeError) as refused:
            site.client.create_snapshot(asked)
        assert refused.value.code == "vm.gone"
        assert refused.value.remedy
    for ask in (site.client.revert_snapshot, site.client.delete_snapshot):
        with pytest.raises(StillframeError) as refused:
            ask(done["snapshot_id"])
        assert refused.value.code == "vm.gone"
    told = [event["type"] for event in site.client.events(vm=id_)["items"]]
    assert told[0] == "vm.gone"
    assert told[-1] == "vm.seen"


def test_a_guest_that_powers_itself_off(site: Site, witness: Made, measured: Measured) -> None:
    """A VM whose guest shuts down is seen as off, and a snapshot without a type is then a cold one."""
    vm = witness()
    mark = vm.mark()
    vm.guest.power_off()
    seen_in(lambda: site.client.vm(vm.name)["state"] == "off", measured, "a guest powered off")
    mark.before = vm.guest.ticks()[-1]
    shot = vm.take(None, mark)
    assert (shot.row["type"], shot.row["consistency"]) == ("cold", "stopped")
    vm.holds(shot)
