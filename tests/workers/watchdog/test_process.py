"""The watchdog as a process: what it needs, and that it outlives what it does not."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

from stillframe.events import EventType
from tests.workers.watchdog.watched import dead
from workers.watch_folder import Ward, WatchFolder, now

ROOT = Path(__file__).resolve().parents[3]


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
