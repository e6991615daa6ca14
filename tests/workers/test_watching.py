"""What the keeper makes of the watchdog's words, and of its silence."""

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from models.events.tables import Event
from models.session import transaction
from stillframe.events import EventType, Level
from tests.world import World
from workers import watching
from workers.watch_folder import WatchFolder, Word
from workers.watching import Ear

pytestmark = pytest.mark.postgres


@pytest.fixture
def folder(tmp_path: Path) -> WatchFolder:
    """A watch folder whose watchdog lives."""
    folder = WatchFolder(tmp_path, "h1")
    folder.sign()
    return folder


def events(world: World) -> list[Event]:
    with transaction(world.engine) as session:
        return list(session.scalars(select(Event).order_by(Event.id)))


def a_word(world: World) -> Word:
    return Word(
        vm=world.vm(), job=uuid4(), type=EventType.GUEST_STILL_FROZEN, level=Level.ERROR, message="Look.", data={"n": 1}
    )  # fmt: skip


def test_a_word_becomes_an_event_of_its_vm(world: World, folder: WatchFolder) -> None:
    """With the level and the message it was given, and then it is no word any more."""
    word = a_word(world)
    folder.say(word)
    Ear(world.engine, "h1", folder).listen()
    (event,) = events(world)
    assert (event.type, event.level, event.message) == ("guest.still_frozen", "error", "Look.")
    assert (event.vm_id, event.job_id, event.host_id) == (word.vm, word.job, world.host("h1"))
    assert event.data == {"n": 1, "at": word.at, "word": str(word.id)}
    assert folder.words() == []


def test_a_word_is_told_once(world: World, folder: WatchFolder) -> None:
    """A keeper that dies before it takes the word away has told it all the same."""
    word = a_word(world)
    folder.say(word)
    Ear(world.engine, "h1", folder).listen()
    folder.say(word)
    Ear(world.engine, "h1", folder).listen()
    assert len(events(world)) == 1
    assert folder.words() == []


def test_a_word_about_a_vm_that_no_row_knows_is_told(world: World, folder: WatchFolder) -> None:
    """The watchdog may have been first to see it."""
    word = a_word(world)
    folder.say(Word(vm=uuid4(), job=word.job, type=word.type, level=word.level, message="", data={}))
    Ear(world.engine, "h1", folder).listen()
    assert len(events(world)) == 1


def test_a_watchdog_that_is_silent_is_missed_once(
    world: World, folder: WatchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning when it falls silent, not at every look; word when it is back."""
    world.host("h1")
    ear = Ear(world.engine, "h1", folder)
    ear.listen()
    assert events(world) == []
    monkeypatch.setattr(watching, "SILENT_S", -1.0)
    ear.listen()
    ear.listen()
    monkeypatch.setattr(watching, "SILENT_S", 60.0)
    ear.listen()
    assert [(event.type, event.level) for event in events(world)] == [
        ("watchdog.silent", "warning"),
        ("watchdog.back", "info"),
    ]


def test_a_watchdog_that_never_was_is_missed_too(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given the same time to appear."""
    ear = Ear(world.engine, "h1", WatchFolder(tmp_path, "h1"))
    ear.listen()
    assert events(world) == []
    monkeypatch.setattr(watching, "SILENT_S", -1.0)
    ear.listen()
    assert [event.type for event in events(world)] == ["watchdog.silent"]
