"""The lock of a VM on its host."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from stillframe.errors import VmHeld
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
