"""Before a job: what the one before it has left is gone, and what is the job's own or another's work is not touched."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hypervisor.fake import FakeHost
from stillframe.findings import Kind, Repair
from stillframe.names import layer_path
from stillframe.states import VmState
from tests.workers.fake_world import BLOCK_FOLDER
from tests.workers.reconcile.site import ALL, Site
from workers import identity
from workers.reconcile.mend import mend
from workers.watch_folder import Ward, WatchFolder, now


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A VM with a snapshot, on a host without a watchdog."""
    site = Site()
    site.take("s1")
    site.watch = WatchFolder(tmp_path, "h1")
    return site


def before_a_job(site: Site, *own: object) -> list[str]:
    """What was done."""
    assert site.watch
    host = FakeHost(site.world.machine)
    return mend(host, site.guest.uuid, site.watch, own, BLOCK_FOLDER)  # type: ignore[arg-type]


def ward(site: Site, kind: str, *, ours: bool = False) -> Ward:
    """One that a worker which died has left."""
    assert site.watch
    made = Ward(
        vm=site.guest.uuid,
        name="vm1",
        job=uuid4(),
        kind=kind,  # type: ignore[arg-type]
        ours=ours,
        began=now(),
        budget_s=10,
        holder=identity.own("h1"),
    )
    site.watch.write(made)
    return made


def test_partial_files_of_other_jobs_go(site: Site) -> None:
    """The job's own stays: it writes over it itself. So does all that has not our name."""
    own, other = uuid4(), uuid4()
    gone = f"{layer_path(site.home, 'vda', other)}.part"
    kept = [
        f"{layer_path(site.home, 'vda', own)}.part",
        f"{site.home}/notes.part",
        f"{site.home}/{other}.iso.part",
    ]
    for path in (gone, *kept):
        site.images.write_text(path, "half")
    assert before_a_job(site, own) == [f"removed: {gone}"]
    assert [site.images.exists(path) for path in (gone, *kept)] == [False, True, True, True]
    assert before_a_job(site, own) == []


@pytest.mark.parametrize("facts", [{"agent": "hung"}, {"state": VmState.PAUSED, "reason": "user"}])
def test_a_freeze_whose_end_nobody_can_see_stays_on_record(site: Site, facts: dict[str, Any]) -> None:
    """The guest may be frozen still, and the watchdog must not forget it for the next job's sake."""
    site.guest.change(frozen=True, **facts)
    made = ward(site, "freeze")
    assert before_a_job(site) == []
    assert site.watch
    assert site.watch.wards() == [made]


def test_a_freeze_that_was_left_is_ended(site: Site) -> None:
    """The guest writes again, and the record is gone."""
    site.guest.change(frozen=True)
    left = ward(site, "freeze")
    (done,) = before_a_job(site, uuid4())
    assert done.startswith("thawed")
    site.guest.tick()
    assert site.watch
    assert site.watch.ward(left.vm, left.job) is None


def test_a_freeze_of_the_job_itself_is_its_own(site: Site) -> None:
    """The step that froze puts it right when it is done again."""
    site.guest.change(frozen=True)
    left = ward(site, "freeze")
    assert before_a_job(site, left.job) == []
    assert site.world.host.vm(site.guest.uuid).is_frozen()


@pytest.mark.parametrize(("ours", "state"), [(False, VmState.PAUSED), (True, VmState.RUNNING)])
def test_a_users_pause_is_only_ended_if_it_was_ours(site: Site, ours: bool, state: VmState) -> None:
    """A job that suspended the VM itself has said so."""
    site.guest.change(state=VmState.PAUSED, reason="user")
    ward(site, "pause", ours=ours)
    before_a_job(site, uuid4())
    assert site.world.facts().state is state


def test_a_rescan_tells_and_ends_them_too(site: Site) -> None:
    """On a host without its watchdog a worker that starts ends them."""
    site.guest.change(frozen=True)
    ward(site, "freeze")
    assert "began was not ended" in site.only(Kind.GUEST_FROZEN).detail
    assert site.only(Kind.GUEST_FROZEN, {Repair.ITSELF}).done == "thawed"
    site.guest.change(state=VmState.PAUSED, reason="save")
    ward(site, "pause")
    assert site.only(Kind.VM_PAUSED, ALL).done == "resumed"
    site.is_well()


def test_what_cannot_be_looked_at_keeps_no_job_from_its_work(site: Site) -> None:
    """Libvirt is away for a moment: the steps reconnect, and say what is wrong if something is."""
    site.world.machine.kill_daemon()
    assert before_a_job(site, uuid4()) == []


def test_a_freeze_that_began_after_ours_had_ended_is_not_ours(site: Site) -> None:
    """A record that only says that a freeze was whole ends no freeze: a backup has the guest frozen now."""
    assert site.watch
    site.watch.change(ward(site, "freeze"), ended=True)
    site.guest.change(frozen=True)
    assert before_a_job(site) == []
    assert site.world.host.vm(site.guest.uuid).is_frozen()
    found = site.only(Kind.GUEST_FROZEN, ALL)
    assert (found.repaired, site.world.host.vm(site.guest.uuid).is_frozen()) == (False, True)
