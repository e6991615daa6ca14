"""The guest's agent is not there, hangs, or dies while the filesystems are frozen: the VM never stays frozen."""

from collections.abc import Callable

import pytest

from tests.chaos.judge import untidy
from tests.journeys.site import Json, Site
from tests.journeys.witness import Witness

Made = Callable[..., Witness]


def consistency(site: Site, job: Json) -> str:
    return str(site.client.snapshot(site.succeeded(job, 90)["snapshot_id"])["consistency"])


def test_no_agent(site: Site, witness: Made) -> None:
    """A guest without one is cut as after a power failure, or not at all if its filesystems have to be frozen."""
    vm = witness(agent=False)
    assert consistency(site, vm.ask("hot")) == "crash"
    job = site.wait(vm.ask("hot", quiesce="require"))
    assert (job["state"], job["error"]["code"]) == ("failed", "vm.agent_unresponsive")
    vm.runs_bare()
    assert untidy(vm, running=True) == []


@pytest.mark.chaos
def test_an_agent_that_hangs(site: Site, witness: Made) -> None:
    """It is waited for as long as the setting says; then the same as with no agent, and it can be used once it wakes."""
    vm = witness()
    vm.write()
    vm.guest.sh("(sleep 1; p=$(pidof qemu-ga); kill -STOP $p; sleep 75; kill -CONT $p) >/dev/null 2>&1 &")
    tick = vm.guest.wait_tick(after=vm.guest.wait_tick().counter + 8)
    assert consistency(site, vm.ask("hot")) == "crash"
    job = site.wait(vm.ask("hot", quiesce="require"), 90)
    assert (job["state"], job["error"]["code"]) == ("failed", "vm.agent_unresponsive")
    vm.guest.wait_tick(after=tick.counter)
    vm.guest.wait_agent(120)
    assert consistency(site, vm.ask("hot", quiesce="require")) == "filesystem"
    vm.runs()
    assert untidy(vm, running=True) == []


#: Begun in the guest: kills its agent as soon as that has noted that it freezes, and some milliseconds have passed.
_ASSASSIN = (
    "(p=$(pidof qemu-ga); until [ -e /run/qga.state.isfrozen ]; do :; done; usleep {wait_us}; kill -9 $p)"
    " >/dev/null 2>&1 &"
)


@pytest.mark.chaos
@pytest.mark.parametrize("wait_us", [0, 40_000])
def test_an_agent_that_dies_between_freeze_and_thaw(site: Site, witness: Made, wait_us: int) -> None:
    """Whoever thaws then, the guest writes on, and the next snapshot is as good as ever."""
    vm = witness("qcow2", "raw", "qcow2")
    vm.write()
    vm.guest.sh(_ASSASSIN.format(wait_us=wait_us))
    site.succeeded(vm.ask("hot"), 120)
    vm.runs()
    assert untidy(vm, running=True) == []
    vm.guest.wait_agent(60)
    assert consistency(site, vm.ask("hot", quiesce="require")) == "filesystem"
    vm.runs()
