"""`make demo` does what the README says of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.build import default_cache
from lab.lab import Lab
from lab.stack import Addresses, Stack
from lab.stage import NotProven, Stage

ROOT = Path(__file__).resolve().parents[2]
WHERE = ("STILLFRAME_VAR", "STILLFRAME_LIBVIRT_URI", "STILLFRAME_URL", "STILLFRAME_KEY")


@pytest.mark.qemu
@pytest.mark.postgres
@pytest.mark.broker
def test_the_tour_proves_every_operation(tmp_path: Path) -> None:
    """On a stack and a guest of its own, every command run as a person would, every proof out of the guest's mouth."""
    env = {name: value for name, value in os.environ.items() if name not in WHERE}
    env |= {"STILLFRAME_VAR": str(tmp_path), "STILLFRAME_CACHE": str(default_cache())}
    try:
        toured = subprocess.run(
            [sys.executable, "-m", "lab.demo"], cwd=ROOT, env=env, check=False, capture_output=True, text=True
        )
        assert toured.returncode == 0, toured.stdout[-3000:] + toured.stderr[-3000:]
        assert "NOT PROVEN" not in toured.stdout
        for verb in ("create", "revert", "delete", "extract", "tree"):
            assert f"$ stillframe snapshot {verb} " in toured.stdout
        assert Lab(tmp_path).guest("demo").is_active
    finally:
        Stack(tmp_path).down()
        Lab(tmp_path).remove()


def test_a_proof_that_fails_ends_the_tour() -> None:
    """With the sentence that does not hold."""
    stage = Stage(Addresses({}))
    stage.prove(True, "this holds")
    with pytest.raises(NotProven, match="this does not"):
        stage.prove(False, "this does not")
    assert stage.proofs == 1


def test_a_command_that_fails_ends_the_tour() -> None:
    """The command line's exit code counts, whatever it printed."""
    with pytest.raises(NotProven, match="exit code 2"):
        Stage(Addresses({})).run("snapshot", "nonsense")
