"""The watchdog on the fake machine: what it ends, what it leaves alone, and what it says of what it cannot end."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest

from hypervisor.fake import FakeHost
from stillframe.errors import HostLost
from stillframe.events import EventType, Level
from stillframe.states import VmState
from tests.workers.fake_world import Death, World, ok
from workers import identity, watch_folder, watchdog
from workers.carry import End
from workers.watch_folder import Ward, WatchFolder, now
from workers.watchdog import Watchdog

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world() -> World:
    """A running guest."""
    return World()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look may act."""
    monkeypatch.setattr(watchdog, "TRY_S", 0.0)


def dead() -> str:
    """The name of a worker that is dead, on this very boot."""
    return f"here/{identity.own('here').split('/')[1]}/999999999/1"


def begin(world: World, kind: Any = "freeze", age_s: float = 0.0, **facts: Any) -> Ward:
    """A freeze or a pause on record that began `age_s` ago, and whose worker lives unless said otherwise."""
    ward = Ward(
        vm=world.guest.uuid, name="vm1", job=uuid4(), kind=kind, began=now() - age_s, budget_s=10.0,
        holder=identity.own("here"),
    )  # fmt: skip
    ward = replace(ward, **facts)
    world.watch.write(ward)
    return ward


def dog(world: World) -> Watchdog:
    return Watchdog(world.watch, lambda: FakeHost(world.machine))


def look(world: World, watching: Watchdog | None = None) -> None:
    """One look, and what it begins carried to its end."""
    watching = watching or dog(world)
    watching.look()
    watching.settle()


def is_frozen(world: World) -> bool | None:
    return world.host.vm(world.guest.uuid).is_frozen()


def said(world: World) -> list[tuple[EventType, Level]]:
    return [(word.type, word.level) for word in world.watch.words()]


def test_a_freeze_past_its_budget_is_ended(world: World) -> None:
    """The guest writes again, the record is gone, and there is word of it."""
    world.guest.change(frozen=True)
    ward = begin(world, age_s=11)
    look(world)
    world.guest.tick()
    assert world.watch.wards() == []
    (word,) = world.watch.words()
    assert (word.type, word.vm, word.job) == (EventType.GUEST_THAWED, world.guest.uuid, ward.job)
    assert word.data["after_s"] >= 11


def test_a_freeze_within_its_budget_is_left_alone(world: World) -> None:
    """A worker that lives has its time."""
    world.guest.change(frozen=True)
    ward = begin(world, age_s=5)
    look(world)
    assert is_frozen(world)
    assert world.watch.wards() == [ward]
    assert said(world) == []


def test_a_freeze_whose_worker_is_dead_is_ended_at_once(world: World) -> None:
    """No budget is waited for: nobody will use it."""
    world.guest.change(frozen=True)
    begin(world, holder=dead())
    look(world)
    assert not is_frozen(world)
    assert world.watch.wards() == []


def test_what_a_dead_worker_asked_for_may_still_come(world: World) -> None:
    """The worker died before libvirt froze the guest: the record stays for its budget, and the freeze is ended when it comes."""
    begin(world, holder=dead())
    look(world)
    assert len(world.watch.wards()) == 1
    world.guest.change(frozen=True)
    look(world)
    assert not is_frozen(world)
    assert world.watch.wards() == []


def test_a_record_of_nothing_is_taken_away_when_its_time_is_over(world: World) -> None:
    """The worker died, the guest is not frozen: there is nothing to tell."""
    begin(world, age_s=11, holder=dead())
    look(world)
    assert world.watch.wards() == []
    assert said(world) == []


def test_a_record_of_an_earlier_boot_says_nothing_of_this_one(world: World) -> None:
    """The host went down with all VMs: a freeze of today is somebody else's."""
    begin(world, age_s=11, holder=f"here/{uuid4()}/1/1")
    world.guest.change(frozen=True)
    look(world)
    assert is_frozen(world)
    assert world.watch.wards() == []


def test_a_freeze_without_a_record_is_left_alone(world: World) -> None:
    """It is somebody else's, however long it lasts."""
    world.guest.change(frozen=True)
    look(world)
    assert is_frozen(world)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_steps_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    """An hour forth ends no freeze before its time, an hour back prolongs none."""
    world.guest.change(frozen=True)
    young, real = begin(world, age_s=5), time.time
    monkeypatch.setattr(time, "time", lambda: real() + step_s)
    look(world)
    assert is_frozen(world)
    world.watch.change(young, began=now() - 11)
    look(world)
    assert not is_frozen(world)


def test_libvirt_may_be_away_for_a_while(world: World) -> None:
    """While it is, that is said once; when it is back, the freeze is ended, and that is said."""
    world.guest.change(frozen=True)
    begin(world, age_s=11)
    watching = dog(world)
    world.machine.kill_daemon()
    look(world, watching)
    look(world, watching)
    assert said(world) == [(EventType.GUEST_STILL_FROZEN, Level.ERROR)]
    world.machine.start_daemon()
    look(world, watching)
    assert not is_frozen(world)
    assert said(world)[1:] == [(EventType.GUEST_THAWED, Level.WARNING)]


def test_libvirt_may_die_between_two_looks(world: World) -> None:
    """A connection that was good a moment ago is opened again."""
    begin(world, "pause")
    watching = dog(world)
    look(world, watching)
    world.machine.kill_daemon()
    world.machine.start_daemon()
    world.guest.change(state=VmState.PAUSED, reason="snapshot")
    (ward,) = world.watch.wards()
    world.watch.change(ward, holder=dead())
    look(world, watching)
    look(world, watching)
    assert world.facts().state is VmState.RUNNING


@pytest.mark.parametrize("agent", ["hung", "absent"])
def test_a_guest_that_cannot_be_thawed_is_an_alarm(world: World, agent: Any) -> None:
    """It is told once, not at every try; the record stays; an agent that comes back ends both."""
    world.guest.change(frozen=True, agent=agent)
    begin(world, age_s=11)
    watching = dog(world)
    for _ in range(3):
        look(world, watching)
    assert said(world) == [(EventType.GUEST_STILL_FROZEN, Level.ERROR)]
    assert len(world.watch.wards()) == 1
    world.guest.agent = "answers"
    look(world, watching)
    assert said(world)[1:] == [(EventType.GUEST_THAWED, Level.WARNING)]
    assert world.watch.wards() == []


def test_an_alarm_is_given_again_from_time_to_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a watchdog that was started anew."""
    monkeypatch.setattr(watchdog, "ALARM_S", 0.0)
    world.guest.change(frozen=True, agent="hung")
    begin(world, age_s=11)
    look(world)
    look(world)
    assert said(world) == [(EventType.GUEST_STILL_FROZEN, Level.ERROR)] * 2


def test_a_vm_that_is_off_is_not_frozen(world: World) -> None:
    """Its guest went with it; an alarm that was given is taken back."""
    world.guest.change(frozen=True, agent="hung")
    begin(world, age_s=11)
    look(world)
    world.guest.crash()
    look(world)
    assert said(world)[1:] == [(EventType.GUEST_THAWED, Level.INFO)]
    assert world.watch.wards() == []


def test_a_vm_that_is_gone_has_no_wards(world: World) -> None:
    """There is nobody to thaw."""
    begin(world, age_s=11)
    world.machine.remove_vm(world.guest.uuid)
    look(world)
    assert world.watch.wards() == []


def test_a_guest_that_hangs_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record is seen to by itself."""
    slow = world.machine.create_vm("slow").uuid
    begin(world, age_s=11, vm=slow)
    world.guest.change(frozen=True)
    begin(world, age_s=11)
    watching = Watchdog(world.watch, lambda: SlowHost(world, slow))
    watching.look()
    until = time.monotonic() + 5
    while is_frozen(world) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_frozen(world)
    SlowHost.may_go_on = True
    watching.settle()


class SlowHost(FakeHost):
    """A host on which one VM's answers do not come."""

    may_go_on = False

    def __init__(self, world: World, slow: UUID) -> None:
        super().__init__(world.machine)
        self.slow = slow

    def vm(self, uuid: UUID) -> Any:
        while uuid == self.slow and not SlowHost.may_go_on:
            time.sleep(0.01)
        return super().vm(uuid)


# --- pauses -------------------------------------------------------------------------------------


def test_a_pause_of_ours_is_ended_when_it_lasts_too_long(world: World) -> None:
    """Its time counts from when the VM was seen to stand still, not from when RAM began to be written."""
    begin(world, "pause", age_s=600, budget_s=0.2)
    watching = dog(world)
    world.guest.change(state=VmState.PAUSED, reason="snapshot")
    look(world, watching)
    assert world.facts().state is VmState.PAUSED
    time.sleep(0.25)
    look(world, watching)
    assert world.facts().state is VmState.RUNNING
    assert said(world) == [(EventType.VM_RESUMED, Level.WARNING)]


def test_a_long_save_of_a_guest_that_runs_is_left_alone(world: World) -> None:
    """Hours of RAM: nothing stands still, so nothing is ended."""
    ward = begin(world, "pause", age_s=100)
    look(world)
    assert world.watch.wards() == [ward]
    assert said(world) == []


@pytest.mark.parametrize("holder", [dead(), identity.own("here")], ids=["dead", "alive"])
@pytest.mark.parametrize("reason", ["user", "ioerror"])
def test_what_a_user_or_a_full_disk_paused_stays_paused(world: World, reason: str, holder: str) -> None:
    """Whoever lives or died: only a pause for libvirt's own reasons is ours."""
    world.guest.change(state=VmState.PAUSED, reason=reason)
    begin(world, "pause", age_s=100, budget_s=0.0, holder=holder)
    look(world)
    assert world.facts().state is VmState.PAUSED
    assert EventType.VM_RESUMED not in [type_ for type_, _ in said(world)]


@pytest.mark.parametrize("reason", ["user", "save"])
def test_a_pause_that_we_asked_for_ourselves_is_ours(world: World, reason: str) -> None:
    """A VM that a step suspended looks as if a user had; the record says who it was."""
    world.guest.change(state=VmState.PAUSED, reason=reason)
    begin(world, "pause", ours=True, holder=dead())
    look(world)
    assert world.facts().state is VmState.RUNNING


def test_a_pause_that_cannot_be_ended_is_an_alarm(world: World) -> None:
    """QEMU says no: told once, tried again."""
    world.guest.change(state=VmState.PAUSED, reason="snapshot")
    begin(world, "pause", age_s=100, holder=dead())
    world.machine.fail_next("resume", HostLost(detail="no answer"))
    watching = dog(world)
    look(world, watching)
    assert said(world) == [(EventType.VM_STILL_PAUSED, Level.ERROR)]
    look(world, watching)
    assert world.facts().state is VmState.RUNNING
    assert said(world)[1:] == [(EventType.VM_RESUMED, Level.WARNING)]


def test_libvirt_may_end_its_own_pause_without_a_worker(world: World) -> None:
    """The worker is dead, libvirt still saves the last of the RAM: within the budget that is left to it, and aborted after."""
    begin(world, "pause", budget_s=0.5, holder=dead())
    world.guest.change(state=VmState.PAUSED, reason="migration", activity="snapshot")
    watching = dog(world)
    look(world, watching)
    assert world.facts().state is VmState.PAUSED
    time.sleep(0.55)
    look(world, watching)
    assert world.facts().state is VmState.RUNNING
    assert world.host.vm(world.guest.uuid).activity() is None
    assert said(world) == [(EventType.VM_RESUMED, Level.WARNING)]


def test_a_save_under_which_the_vm_stands_still_too_long_is_given_up(world: World) -> None:
    """The job fails and says why, the VM runs, and nothing of the snapshot is left."""
    world.guest.tick()
    files = world.files()
    world.machine.pace_s = 0.3
    world.pause_budget_s = 0.1
    job, watching, endings = world.create("s1", "memory"), dog(world), []
    thread = Thread(target=lambda: endings.append(job.to_the_end()))
    thread.start()
    while thread.is_alive():
        if world.host.vm(world.guest.uuid).activity() == "snapshot":
            world.guest.change(state=VmState.PAUSED, reason="migration")
        look(world, watching)
        time.sleep(0.02)
    thread.join()
    assert endings[0].end is End.FAILED
    assert endings[0].error["code"] == "vm.pause_too_long"
    assert world.files() == files
    assert world.watch.wards() == []
    world.guest.tick()


# --- the folder ---------------------------------------------------------------------------------


def test_two_watchdogs_are_as_good_as_one(world: World) -> None:
    """Both look again and again while guests are frozen: each freeze is ended, and told, once."""
    dogs = [dog(world), dog(world)]
    for _ in range(20):
        world.guest.change(frozen=True)
        begin(world, age_s=11)
        threads = [Thread(target=look, args=(world, one)) for one in dogs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not is_frozen(world)
    assert said(world) == [(EventType.GUEST_THAWED, Level.WARNING)] * 20


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"vm": 1}'])
def test_a_record_that_is_none_is_taken_away(world: World, text: str) -> None:
    """Half a file was not written by us; it stands in nobody's way."""
    path = Path(world.watch.path, f"{world.guest.uuid}.{uuid4()}.json")
    world.guest.change(frozen=True)
    begin(world, age_s=11)
    path.write_text(text)
    look(world)
    assert not path.exists()
    assert not is_frozen(world)


def test_what_is_being_written_is_no_record_yet(world: World) -> None:
    """A worker that died while it wrote had frozen nothing."""
    ward = begin(world)
    world.watch.remove(ward)
    Path(world.watch.path, f"{ward.vm}.{ward.job}.json.part").write_text("{")
    look(world)
    assert world.watch.wards() == []


def test_a_folder_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    """Nothing was ever frozen on this host."""
    folder = WatchFolder(tmp_path, "here")
    assert (folder.wards(), folder.words(), folder.silent_s()) == ([], [], None)


def test_a_sign_of_life_grows_old(tmp_path: Path) -> None:
    """Whoever asks is told for how long the watchdog has been silent; a sign of another boot is none."""
    folder = WatchFolder(tmp_path, "here")
    folder.sign()
    silent_s = folder.silent_s()
    assert silent_s is not None
    assert 0 <= silent_s < 5
    (tmp_path / "here" / "alive").write_text(f"{now() + 1000}\n")
    assert folder.silent_s() is None


def test_a_full_disk_keeps_nobody_frozen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written the guest is thawed all the same, and its worker is told by what is gone."""
    world.guest.change(frozen=True)
    ward = begin(world, age_s=11)
    monkeypatch.setattr(watch_folder, "write_whole", _no_space)
    look(world)
    assert not is_frozen(world)
    assert world.wards(ward.job).over()


def test_what_cannot_be_put_on_record_is_not_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No freeze that nobody would end: the job fails and says why, and nothing is left of it."""
    before = world.files()
    monkeypatch.setattr(watch_folder, "write_whole", _no_space)
    ending = world.create("s1", "hot").to_the_end()
    assert ending.error["code"] == "host.not_on_record"
    assert world.files() == before
    world.guest.tick()


def _no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


# --- with a job ---------------------------------------------------------------------------------


def run_watched(world: World, **words: Any) -> tuple[Any, Any]:
    """A quiesced create whose freeze lasts longer than it may, with the watchdog at work; the job and how it ended."""
    world.machine.pace_s = 0.5
    job = world.create("s1", "hot", **words)
    world.freeze_budget_s = 0.1
    watching, endings = dog(world), []
    thread = Thread(target=lambda: endings.append(job.to_the_end()))
    thread.start()
    while thread.is_alive():
        look(world, watching)
        time.sleep(0.02)
    thread.join()
    return job, endings[0]


def test_a_cut_whose_freeze_was_ended_before_it_is_crash_consistent(world: World) -> None:
    """The snapshot says what it is, not what was wished for."""
    job, ending = run_watched(world)
    ok(ending)
    assert job.outputs["cut"]["consistency"] == "crash"
    assert said(world) == [(EventType.GUEST_THAWED, Level.WARNING)]
    assert world.watch.wards() == []
    world.guest.tick()


def test_a_cut_that_had_to_be_quiesced_and_was_not_is_taken_back(world: World) -> None:
    """The job fails, says why, and leaves the VM on its image and nothing beside it."""
    files = world.files()
    _, ending = run_watched(world, quiesce="require")
    assert ending.end is End.FAILED
    assert ending.error["code"] == "vm.freeze_too_long"
    assert world.files() == files
    world.guest.tick()


@pytest.mark.parametrize("quiesce", ["prefer", "require"])
def test_a_cut_of_a_dead_worker_whose_freeze_was_ended_is_not_called_quiesced(
    world: World, quiesce: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes the job up cannot know which came first: it is crash-consistent, or taken back where that will not do."""
    before = world.files()
    job = world.create("s1", "hot", quiesce=quiesce)
    with monkeypatch.context() as patched:
        patched.setattr(world.machine.mortality, "pass_by", _die("after cut"))
        with pytest.raises(Death):
            job.run()
    (ward,) = world.watch.wards()
    world.watch.change(ward, holder=dead())
    world.guest.change(frozen=True)
    look(world)
    ending = job.run()
    world.guest.tick()
    if quiesce == "prefer":
        ok(ending)
        assert job.outputs["cut"]["consistency"] == "crash"
    else:
        assert ending.error["code"] == "vm.not_surely_frozen"
        assert world.files() == before


def _die(at: str) -> Callable[[str], None]:
    def pass_by(point: str) -> None:
        if point == at:
            raise Death(point)

    return pass_by


def test_a_freeze_in_time_is_left_to_its_worker(world: World) -> None:
    """With the watchdog at work all the while, a quiesced create is what it was asked to be."""
    world.machine.pace_s = 0.1
    job, watching = world.create("s1", "hot"), dog(world)
    thread = Thread(target=job.to_the_end)
    thread.start()
    while thread.is_alive():
        look(world, watching)
    thread.join()
    assert job.outputs["cut"]["consistency"] == "filesystem"
    assert said(world) == []
    assert world.watch.wards() == []


def test_a_freeze_of_somebody_else_survives_a_job(world: World) -> None:
    """Who froze the guest before the create thaws it: neither the step nor the watchdog does."""
    world.guest.change(frozen=True)
    job = world.create("s1", "hot")
    ok(job.to_the_end())
    look(world)
    assert is_frozen(world)
    assert job.outputs["cut"]["consistency"] == "filesystem"


# --- the process --------------------------------------------------------------------------------


def test_it_needs_libvirt_and_a_folder_and_nothing_else() -> None:
    """No SQL, no broker: what it does not load cannot take it down."""
    code = "import workers.watchdog, sys; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split("'")[1].split(".")[0] for name in done.stdout.split(",")}
    assert "libvirt" in loaded
    assert loaded.isdisjoint({"models", "tasks", "sqlalchemy", "psycopg", "celery", "kombu", "redis"})


def test_it_runs_while_libvirt_is_away(tmp_path: Path) -> None:
    """Begun before libvirtd, without a database: it lives, gives signs of it, and says what it cannot end."""
    folder = WatchFolder(tmp_path, "here")
    ward = Ward(
        vm=uuid4(), name="vm1", job=uuid4(), kind="freeze", began=now() - 11, budget_s=10.0, holder=dead()
    )
    folder.write(ward)
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.watchdog"],
        cwd=ROOT,
        env=os.environ
        | {
            "STILLFRAME_WATCH_FOLDER": str(tmp_path),
            "STILLFRAME_HOST": "here",
            "STILLFRAME_LIBVIRT_URI": f"qemu+unix:///system?socket={tmp_path}/none",
            "STILLFRAME_DATABASE_URL": "",
            "STILLFRAME_BROKER_URL": "",
        },
    )
    try:
        until = time.monotonic() + 60
        while not (folder.words() and folder.silent_s() is not None) and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.05)
        (word,) = folder.words()
        assert word.type == EventType.GUEST_STILL_FROZEN
        assert json.loads(Path(folder.path, f"{ward.vm}.{ward.job}.json").read_text())["alarmed"]
    finally:
        process.kill()
        process.wait()


def test_a_vm_that_stands_still_for_a_migration_is_not_resumed(world: World) -> None:
    """It may run on another host in a moment: only a pause of libvirt's own snapshot is ended."""
    begin(world, "pause", age_s=100, budget_s=0.0, holder=dead())
    world.guest.change(state=VmState.PAUSED, reason="migration", activity="migration_out")
    watching = dog(world)
    for _ in range(3):
        look(world, watching)
    assert world.facts().state is VmState.PAUSED
