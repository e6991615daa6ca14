"""The watchdog as a process beside a real guest: whoever dies, the guest writes on, or there is an alarm."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hypervisor.libvirt_host import LibvirtHost
from lab import Lab
from lab.daemon import program
from stillframe.events import EventType
from stillframe.states import VmState
from tests.brakes import slow
from tests.workers.real_world import RealWorld

pytestmark = pytest.mark.qemu

ROOT = Path(__file__).resolve().parents[2]
#: Seconds that a busy machine may need for what takes milliseconds.
SLACK_S = 20.0
_numbers = count()


@pytest.fixture
def world(request: pytest.FixtureRequest, machine: Lab, host: LibvirtHost) -> Iterator[RealWorld]:
    """A ticking guest whose agent answers."""
    guest = machine.create_guest(f"watched-{next(_numbers)}", **getattr(request, "param", {}))
    try:
        guest.wait_tick()
        guest.wait_agent()
        yield RealWorld(machine, guest, host)
    finally:
        guest.remove()


@pytest.fixture(autouse=True)
def watching(world: RealWorld, machine: Lab) -> Iterator[None]:
    """The watchdog of this host."""
    env = os.environ | {
        "STILLFRAME_LIBVIRT_URI": machine.libvirt_uri,
        "STILLFRAME_WATCH_FOLDER": str(Path(world.watch.path).parent),
        "STILLFRAME_HOST": "lab",
        "STILLFRAME_AGENT_TIMEOUT_S": "3",
    }
    process = subprocess.Popen([sys.executable, "-m", "workers.watchdog"], cwd=ROOT, env=env)
    try:
        until(lambda: (silent_s := world.watch.silent_s()) is not None and silent_s < 2, "a sign of life")
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        for word in world.watch.words():
            world.watch.forget(word)
        for ward in world.watch.wards():
            world.watch.remove(ward)


@contextmanager
def doomed(world: RealWorld, what: str, budget_s: float = 10.0) -> Iterator[subprocess.Popen[str]]:
    """A worker of its own process that is at `what`; killed at the end if it lives."""
    arguments = [str(world.lab.places.var), world.guest.name, what, str(budget_s)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.workers.doomed", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if what not in {"create", "save"}:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == what
        yield process
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], Any], what: str, within_s: float = SLACK_S + 10) -> float:
    """Seconds until that is so; fails when it does not come about."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + within_s, f"{what} did not come about in {within_s:g} s"
        time.sleep(0.02)
    return time.monotonic() - began


def serial(world: RealWorld) -> str:
    return world.guest.serial.path.read_text(errors="replace")


def counter(world: RealWorld) -> int:
    """The last counter that the guest has made durable."""
    return world.guest.ticks()[-1].counter


def said(world: RealWorld) -> list[EventType]:
    return [word.type for word in world.watch.words()]


def test_a_worker_killed_while_the_guest_is_frozen(world: RealWorld) -> None:
    """Its freeze is ended at once, far within its budget: the guest's counter goes on, on its disk."""
    with doomed(world, "freeze") as worker:
        frozen_at = counter(world)
        worker.kill()
        worker.wait()
        tick = world.guest.wait_tick(after=frozen_at + 5, timeout_s=10 + SLACK_S)
    assert tick.boot_id == world.guest.ticks()[0].boot_id
    assert world.guest.read_counter() > frozen_at
    until(lambda: said(world) == [EventType.GUEST_THAWED], "word of it")
    assert world.watch.wards() == []


@pytest.mark.slow
def test_a_worker_that_hangs_while_the_guest_is_frozen(world: RealWorld) -> None:
    """It has its budget, and then the freeze is ended all the same."""
    with doomed(world, "freeze", budget_s=5.0) as worker:
        worker.send_signal(signal.SIGSTOP)
        (ward,) = world.watch.wards()
        took_s = until(world.watch.words, "the end of the freeze")
        (word,) = world.watch.words()
        assert word.type == EventType.GUEST_THAWED
        assert 5.0 <= word.data["after_s"] < 5.0 + SLACK_S, took_s
        assert ward.budget_s == 5.0
        world.guest.wait_tick(after=counter(world) + 5)


@pytest.mark.slow
def test_libvirtd_and_the_worker_die_while_the_guest_is_frozen(world: RealWorld, machine: Lab) -> None:
    """A quiesced create, both killed in its freeze: libvirt forgets the freeze; when it is back, the guest writes on."""
    libvirtd = machine.machine.libvirtd_pid()
    assert libvirtd is not None
    before = serial(world).count("hook freeze")
    with doomed(world, "create") as worker:
        until(lambda: serial(world).count("hook freeze") > before, "the freeze")
        os.kill(libvirtd, signal.SIGKILL)
        worker.kill()
    try:
        stands_still(world)
        frozen_at = counter(world)
        assert len(world.watch.wards()) == 1
    finally:
        machine.start_libvirtd()
    until(lambda: counter(world) > frozen_at, "the next tick", 10 + SLACK_S)
    assert world.guest.wait_tick(after=frozen_at + 5).boot_id == world.guest.ticks()[0].boot_id
    assert world.guest.read_counter() > frozen_at
    until(lambda: said(world)[-1:] == [EventType.GUEST_THAWED], "word of it")


def stands_still(world: RealWorld) -> None:
    """Waits until the guest, which writes five times a second, has written nothing for two seconds."""
    seen, since = counter(world), time.monotonic()

    def is_still() -> bool:
        nonlocal seen, since
        if counter(world) != seen:
            seen, since = counter(world), time.monotonic()
        return time.monotonic() > since + 2

    until(is_still, "a guest that stands still")


@pytest.mark.slow
def test_what_a_user_paused_stays_paused(world: RealWorld) -> None:
    """A worker begins a memory cut and dies, a user suspends the VM: its record goes, and the VM stays as the user wants it."""
    with doomed(world, "pause", budget_s=3.0) as worker:
        world.guest.domain.suspend()
        worker.kill()
        worker.wait()
        until(lambda: not world.watch.wards(), "the end of the record")
    assert world.facts().state == VmState.PAUSED
    assert world.facts().reason == "user"
    assert said(world) == []


@pytest.mark.slow
def test_what_we_suspended_ourselves_is_resumed(world: RealWorld) -> None:
    """A worker suspends the VM, as the record says, and is killed: the guest runs again."""
    with doomed(world, "suspend") as worker:
        assert world.facts().state == VmState.PAUSED
        paused_at = counter(world)
        worker.kill()
        worker.wait()
        world.guest.wait_tick(after=paused_at + 5)
    assert said(world) == [EventType.VM_RESUMED]


@pytest.mark.slow
def test_an_agent_that_hangs_while_the_guest_is_frozen_is_an_alarm(world: RealWorld) -> None:
    """Nobody can thaw it, and nobody says it was: the alarm is given, the record stays."""
    world.guest.sh("(sleep 4; kill -STOP $(pidof qemu-ga)) >/dev/null 2>&1 &")
    with doomed(world, "freeze", budget_s=8.0):
        until(lambda: said(world) == [EventType.GUEST_STILL_FROZEN], "the alarm", 8 + 3 * SLACK_S)
        stands_still(world)
        assert len(world.watch.wards()) == 1
        assert said(world) == [EventType.GUEST_STILL_FROZEN]


@pytest.mark.slow
@pytest.mark.parametrize("world", [{"memory_mib": 768, "ballast_mib": 512}], ids=["512 MiB"], indirect=True)
def test_a_save_under_which_the_vm_stands_still_too_long_is_given_up(world: RealWorld) -> None:
    """Libvirt writes RAM for longer than the budget and the VM stands still: it runs on, on the image it had."""
    before, paused_at = world.guest.disks, counter(world)
    qemu = next(pid for pid in world.lab.machine.members() if program(pid).startswith("qemu-system"))
    with slow(qemu, 0.02), doomed(world, "save", budget_s=0.5) as worker:
        until(lambda: said(world)[-1:] == [EventType.VM_RESUMED], "the end of the pause", 60)
        assert worker.wait(60) == 0
    assert world.guest.wait_tick(after=paused_at + 5).boot_id == world.guest.ticks()[0].boot_id
    assert world.guest.disks == before
    assert not (world.guest.folder / "memory.save").exists()
    assert world.facts().state == VmState.RUNNING
