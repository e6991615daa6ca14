"""The two stages of the hypervisor's contract; the real one is a private libvirtd."""

from collections.abc import Callable, Iterator

import pytest

from tests.contracts.stages import FakeStage, Play, RealStage, Stage


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.qemu)])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A machine without guests of this test."""
    made = FakeStage() if request.param == "fake" else RealStage(request.getfixturevalue("machine"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def play(stage: Stage) -> Play:
    """A running guest with a qcow2 volume and a raw one."""
    return Play(stage, stage.guest("qcow2", "raw"))


@pytest.fixture
def play_with(stage: Stage) -> Callable[..., Play]:
    """A guest as the test wants it."""
    return lambda *formats, **wants: Play(stage, stage.guest(*formats, **wants))
