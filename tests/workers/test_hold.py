"""The lock of a VM on its host, and what is done about one who does not let go."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from stillframe.errors import VmHeld
from workers import identity
from workers.hold import hold

VM = UUID(int=7)
HOLDER = """
import sys, time
from uuid import UUID
from workers import identity
from workers.hold import hold
with hold(sys.argv[1], UUID(int=7), "vm", 5):
    print(identity.own("here"), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[str]:
    """Another process that holds the VM, by its name."""
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def test_one_who_does_not_let_go_is_waited_for_and_then_left(tmp_path: Path, holder: str) -> None:
    """Without a last resort the VM stays held, and its holder alive."""
    began = time.monotonic()
    with pytest.raises(VmHeld), hold(str(tmp_path), VM, "vm", 0.3):
        pass
    assert time.monotonic() - began >= 0.3
    assert identity.is_alive(holder)


def test_one_who_was_fenced_and_hangs_is_killed(tmp_path: Path, holder: str) -> None:
    """With it, the holder is dead and the VM is held by who was kept waiting."""
    with hold(str(tmp_path), VM, "vm", 0.3, lambda: identity.end(holder)):
        assert not identity.is_alive(holder)


def test_nobody_is_killed_who_is_not_the_one(tmp_path: Path, holder: str) -> None:
    """A name whose process has ended, one of another host's boot, one nobody understands, and oneself: none is touched."""
    host, boot, pid, began = holder.rsplit("/", 3)
    for name in (
        f"{host}/{boot}/{pid}/{int(began) + 1}",
        f"{host}/another-boot/{pid}/{began}",
        "h1/worker",
        identity.own("here"),
    ):
        assert not identity.end(name), name
    assert identity.is_alive(holder)
