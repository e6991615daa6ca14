"""The lock of a VM on its host."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from stillframe.errors import VmHeld, VmNotLocked
from workers.hold import hold


def test_one_process_at_a_time_acts_on_a_vm(tmp_path: Path) -> None:
    """A VM that is held is not held twice, and is free again when the holder lets go or dies."""
    vm = uuid4()
    with hold(str(tmp_path), vm, "web", 0.0), pytest.raises(VmHeld), hold(str(tmp_path), vm, "web", 0.1):
        pass
    child = os.fork()
    if child == 0:
        with hold(str(tmp_path), vm, "web", 0.0):
            os._exit(0)
    os.waitpid(child, 0)
    with hold(str(tmp_path), vm, "web", 0.0):
        pass


def test_a_folder_that_takes_no_lock_is_told_of(tmp_path: Path) -> None:
    """What the host says of it is said, and the VM is not held."""
    (tmp_path / "full").write_text("no folder")
    with (
        pytest.raises(VmNotLocked, match="File exists"),
        hold(str(tmp_path / "full"), uuid4(), "web", 0.0),
    ):
        pytest.fail("the block ran")


def test_what_the_block_raises_is_not_the_locks(tmp_path: Path) -> None:
    """No room for what is done with the VM is another matter than no room for its lock."""
    with pytest.raises(OSError, match="No space"), hold(str(tmp_path), uuid4(), "web", 0.0):
        raise OSError(28, "No space left on device")
