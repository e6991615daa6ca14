"""The keeper goes on, whatever it is told."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from hypervisor.fake import FakeHost
from models.jobs.journal import Journal
from stillframe.settings import Settings
from tasks.broker import BrokerAway
from tests import world as rows
from tests.workers.fake_world import Death, World
from tests.workers.watchdog.watched import dead
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


def test_a_host_is_looked_at_while_the_broker_is_away(
    engine: Engine, world: rows.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker died and what is owed cannot be sent: the keeper has other things to do before it tries that again."""
    assert Journal(engine).claim(world.job(world.vm()), worker=dead(), lease_s=30)
    tries = 0

    def publish() -> None:
        nonlocal tries
        tries += 1
        if tries == 10:
            raise Death("it does nothing else")
        raise BrokerAway("away")

    def look() -> None:
        raise Death("it looks")

    keeper = Keeper(
        Settings(host="h1", watch_folder=str(tmp_path)), engine, FakeHost(World().machine, "h1"), publish
    )
    monkeypatch.setattr(keeper, "look", look)
    with pytest.raises(Death, match="it looks"):
        keeper.run()
