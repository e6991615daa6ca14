"""The keeper goes on, whatever it is told."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from hypervisor.fake import FakeHost
from stillframe.settings import Settings
from tests.workers.fake_world import Death, World
from workers.keeper import Keeper

pytestmark = pytest.mark.postgres


def test_a_look_that_fails_ends_no_keeper(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody has thought of, in the rows of one VM, is met with the next look once more."""
    settings = Settings(host="h1", watch_folder=str(tmp_path))
    keeper = Keeper(settings, engine, FakeHost(World().machine, "h1"), lambda: None)
    met = iter([ValueError("a number that no row can hold"), Death("the second look")])

    def look() -> None:
        raise next(met)

    monkeypatch.setattr(keeper, "look", look)
    with pytest.raises(Death):
        keeper.run()
