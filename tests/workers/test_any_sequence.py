"""Whatever happens, in whatever order: every snapshot and the guest read what was written, and nothing is left over."""

import os
from functools import lru_cache

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from hypervisor import xml
from tests.workers.any_sequence import AnySequence
from workers import carry, guard
from workers.operations import merging

#: Sequences of the long run, about 0.06 s of one processor each.
LONG = int(os.environ.get("STILLFRAME_SEQUENCES", "10000"))
PARTS = 20
READ = ("name_of", "memory_bytes_of", "volumes_of", "nvram_of", "note_of", "images_of")
STEPS = 16


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake machine needs no time for a merge, and what is in the way there does not go away by waiting."""
    monkeypatch.setattr(merging, "POLL_S", 0.0)
    monkeypatch.setattr(carry, "LONGEST_NAP_S", 0.0)
    monkeypatch.setattr(guard, "SOON_S", 0.0)
    # It is asked for the same few definitions again and again: to parse each once makes a sequence four times as fast.
    for name in READ:
        monkeypatch.setattr(xml, name, lru_cache(maxsize=1024)(getattr(xml, name)))


def _run(sequences: int, chosen: int) -> None:
    profile = settings(
        max_examples=sequences,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        verbosity=Verbosity.normal,
    )
    run_state_machine_as_test(seed(chosen)(AnySequence), settings=profile)


@pytest.mark.timeout(900)
def test_any_short_run() -> None:
    """Some sequences of snapshots, reverts, deletions and extractions, with deaths, cancels and a guest that does as it likes."""
    _run(150, int.from_bytes(os.urandom(8)))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_any_long_run(part: int) -> None:
    """Ten thousand of them, shared by the processes of the run."""
    _run(LONG // PARTS, int.from_bytes(os.urandom(8)) + part)
