"""Who goes first: jobs of one VM in the order asked, VMs side by side, and nobody holds a slot by waiting."""

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise

from tests.brakes import stopped
from tests.journeys.site import Json, Site, until
from tests.journeys.witness import Witness

Made = Callable[..., Witness]


def span(job: Json) -> tuple[datetime, datetime]:
    """From when to when a job ran."""
    return datetime.fromisoformat(job["started_at"]), datetime.fromisoformat(job["finished_at"])


def test_one_vm_one_job_at_a_time_in_the_order_asked(site: Site, witness: Made) -> None:
    """Seven jobs asked of one VM at once run one after another, in that order, and each snapshot holds its moment."""
    vm = witness()
    first = vm.take("hot")
    jobs = [
        vm.ask("hot", name="one"),
        vm.ask("memory", name="two"),
        site.client.extract_volume(first.id, "vda"),
        vm.ask("hot", name="three", quiesce="never"),
        site.client.delete_snapshot(first.id),
        vm.ask(None, name="four"),
        vm.ask("memory", name="five"),
    ]
    ended = [site.succeeded(job) for job in jobs]
    spans = [span(job) for job in ended]
    for (_, before), (after, _) in pairwise(spans):
        assert before <= after
    found = site.client.snapshots(vm=vm.name, state="ready", sort="created_at")["items"]
    assert [row["name"] for row in found] == ["one", "two", "three", "four", "five"]
    parents = {row["id"]: row["parent_id"] for row in found}
    ids = [row["id"] for row in found]
    assert [parents[id_] for id_ in ids] == [None, *ids[:-1]]
    vm.runs()
    vm.is_tidy()


def test_vms_side_by_side_and_a_waiting_job_holds_no_slot(site: Site, witness: Made) -> None:
    """With two slots, two VMs' jobs run at once, and a third VM's gets through while two more of the first one wait."""
    slow, other, third = witness(), witness(), witness()
    with stopped(site.qemu(slow.guest)):
        held = slow.ask("hot", quiesce="never")
        site.wait_step(held, "cut")
        waiting = [slow.ask("hot"), slow.ask("memory")]
        with stopped(site.qemu(other.guest)):
            beside = other.ask("hot", quiesce="never")
            site.wait_step(beside, "cut")
            assert {site.job(job)["state"] for job in (held, beside)} == {"running"}
        site.succeeded(beside)
        through = [site.succeeded(third.ask(kind)) for kind in ("hot", "memory")]
        assert site.job(held)["state"] == "running"
        assert [site.job(job)["state"] for job in waiting] == ["queued", "queued"]
        assert [site.job(job)["attempt"] for job in waiting] == [0, 0]
    ended = site.succeeded(held)
    for job in (site.job(beside), *through):
        assert span(ended)[0] < span(job)[0] < span(job)[1] < span(ended)[1]
    for job in waiting:
        assert site.succeeded(job)["attempt"] == 1
    until(lambda: not site.queued_messages(), 10, "an empty queue")
    for vm in (slow, other, third):
        vm.runs_bare()
        vm.is_tidy()
