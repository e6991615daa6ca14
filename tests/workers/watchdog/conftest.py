"""A guest under watch, and a watchdog in a hurry."""

import pytest

from tests.workers.fake_world import World
from workers import watchdog


@pytest.fixture
def world() -> World:
    """A running guest."""
    return World()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look may act."""
    monkeypatch.setattr(watchdog, "TRY_S", 0.0)
