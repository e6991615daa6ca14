"""The lab comes up, stands being harmed, and goes without a trace."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lab import Lab, LabError
from lab.daemon import began_at, children, wait_gone

pytestmark = pytest.mark.qemu


def test_two_labs_live_side_by_side(lab: Lab, other: Lab) -> None:
    """Two labs each have a guest of one name; stopping one leaves the other ticking."""
    other.start()
    mine, theirs = lab.create_guest("same"), other.create_guest("same")
    try:
        theirs.wait_tick()
        mine.wait_tick()
        assert mine.uuid != theirs.uuid
        assert len({lab.broker_url, other.broker_url, lab.libvirt_uri}) == 3
        assert lab.database_url() != other.database_url()

        other.stop()

        mine.wait_tick()
    finally:
        mine.remove()


def test_a_guest_outlives_libvirtd(lab: Lab) -> None:
    """A guest ticks on while libvirtd is dead and is found again by the next one."""
    guest = lab.create_guest("survivor")
    try:
        before = guest.wait_tick()
        lab.kill_libvirtd()
        assert lab.status()["libvirt"] is None
        during = guest.wait_tick(after=before.counter)
        lab.start_libvirtd()
        after = guest.wait_tick(after=during.counter)

        assert guest.is_active
        assert before.boot_id == after.boot_id
    finally:
        lab.start_libvirtd()
        guest.remove()


def _taken(port: int) -> socket.socket:
    """The port, held by the test as soon as its last owner's connections are gone."""
    end = time.monotonic() + 10
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def test_a_port_that_is_taken_for_a_moment_is_kept(other: Lab) -> None:
    """A part that was killed comes back where it was, though somebody tries its port out meanwhile."""
    other.start({"redis"})
    before, port = other.broker_url, other.places.settings().redis_port
    other.kill_redis()
    with _taken(port) as held:
        letting_go = threading.Timer(1.0, held.close)
        letting_go.start()
        other.start({"redis"})
        letting_go.join()

    assert other.broker_url == before


def test_stop_leaves_no_process(other: Lab) -> None:
    """Everything a lab started ends with it: daemons, sessions, QEMUs; a second stop is fine."""
    other.start()
    other.create_guest("last").wait_tick()
    ours = [*filter(None, other.status().values()), *other.machine.members()]
    ours += children(other.postgres.daemon.pid or 0)
    assert len(ours) >= 8

    other.stop()
    other.stop()

    assert [pid for pid in ours if began_at(pid)] == []
    assert not other.places.run.exists()
    assert not any(other.status().values())


def test_it_starts_after_everything_was_killed(other: Lab) -> None:
    """A start after a crash of the whole machine finds guests, databases and messages again."""
    other.start()
    guest = other.create_guest("again")
    before = guest.wait_tick()
    other.postgres.sql("CREATE TABLE kept AS SELECT 7 AS n", "stillframe")
    everybody = [*other.machine.members(), *filter(None, other.status().values())]
    for pid in everybody:
        if began_at(pid):
            os.kill(pid, signal.SIGKILL)
    wait_gone(everybody)

    other.start()

    assert other.postgres.sql("SELECT n FROM kept", "stillframe") == "7"
    guest.start()
    assert guest.wait_tick().counter > before.counter


def test_a_start_without_records_ends_what_still_runs(other: Lab) -> None:
    """When /run was emptied under a running lab, a start replaces it and loses no data."""
    other.start()
    other.postgres.sql("CREATE TABLE kept AS SELECT 7 AS n", "stillframe")
    before = [*filter(None, other.status().values())]
    shutil.rmtree(other.places.run)

    other.start()

    assert [pid for pid in before if began_at(pid)] == []
    assert other.postgres.sql("SELECT n FROM kept", "stillframe") == "7"


def test_two_starts_at_once_make_one_lab(other: Lab) -> None:
    """Two programs that start the same lab at the same moment both succeed, on one set of daemons."""
    command = [sys.executable, "-m", "lab", "--var", str(other.places.var), "up"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (started.communicate(timeout=60)[0].splitlines()[1:] for started in both)

    assert [started.returncode for started in both] == [0, 0]
    assert first == second
    assert all(" is up (pid " in line for line in first)


def test_postgres_keeps_what_it_confirmed(lab: Lab) -> None:
    """A committed row outlives a SIGKILL of Postgres; a dropped database is gone."""
    lab.create_database("trial")
    lab.postgres.sql("CREATE TABLE kept AS SELECT 1 AS n", "trial")
    lab.kill_postgres()
    assert lab.status()["postgres"] is None
    lab.start_postgres()
    assert lab.postgres.sql("SELECT n FROM kept", "trial") == "1"

    lab.create_database("copy", template="trial")
    assert lab.postgres.sql("SELECT n FROM kept", "copy") == "1"
    for name in ("copy", "trial", "trial"):
        lab.drop_database(name)
    with pytest.raises(LabError, match="does not exist"):
        lab.postgres.sql("SELECT 1", "trial")


def test_one_part_starts_alone_in_a_deep_folder(tmp_path: Path) -> None:
    """Postgres starts without the rest, in a folder whose path is too long for a socket."""
    deep = Lab(tmp_path / ("d" * 90) / ("e" * 90))
    try:
        deep.start({"postgres"})
        assert [part for part, pid in deep.status().items() if pid] == ["postgres"]
    finally:
        deep.remove()


def test_the_machines_own_stays_unseen(lab: Lab) -> None:
    """Nothing in the lab's namespace sees /dev/kvm or the machine's D-Bus, and no network is up."""
    init = lab.machine.members()[0]
    assert not Path(f"/proc/{init}/root/dev/kvm").exists()
    assert not Path(f"/proc/{init}/root/run/dbus").exists()
    assert lab.machine.connection().listAllNetworks() == []


def test_an_unknown_part_is_refused(other: Lab) -> None:
    """A part's name that does not exist is named back."""
    with pytest.raises(LabError, match="kafka"):
        other.start({"kafka"})
