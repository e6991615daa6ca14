"""The records on disk: what is none, what is old, and a disk that is full."""

import errno
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.given import given
from tests.workers.fake_world import World
from tests.workers.watchdog.watched import begin, dead, is_frozen, look, said
from workers import watch_folder
from workers.watch_folder import WatchFolder, now


def test_a_record_of_nothing_is_taken_away_when_its_time_is_over(world: World) -> None:
    """The worker died, the guest is not frozen: there is nothing to tell."""
    begin(world, age_s=11, holder=dead())
    look(world)
    assert world.watch.wards() == []
    assert said(world) == []


def test_a_record_of_an_earlier_boot_says_nothing_of_this_one(world: World) -> None:
    """The host went down with all VMs: a freeze of today is somebody else's."""
    begin(world, age_s=11, holder=f"here/{uuid4()}/1/1")
    world.guest.change(frozen=True)
    look(world)
    assert is_frozen(world)
    assert world.watch.wards() == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"vm": 1}'])
def test_a_record_that_is_none_is_taken_away(world: World, text: str) -> None:
    """Half a file was not written by us; it stands in nobody's way."""
    path = Path(world.watch.path, f"{world.guest.uuid}.{uuid4()}.json")
    world.guest.change(frozen=True)
    begin(world, age_s=11)
    path.write_text(text)
    look(world)
    assert not path.exists()
    assert not is_frozen(world)


def test_what_is_being_written_is_no_record_yet(world: World) -> None:
    """A worker that died while it wrote had frozen nothing."""
    ward = begin(world)
    world.watch.remove(ward)
    Path(world.watch.path, f"{ward.vm}.{ward.job}.json.part").write_text("{")
    look(world)
    assert world.watch.wards() == []


def test_a_folder_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    """Nothing was ever frozen on this host."""
    folder = WatchFolder(tmp_path, "here")
    assert (folder.wards(), folder.words(), folder.silent_s()) == ([], [], None)


def test_a_sign_of_life_grows_old(tmp_path: Path) -> None:
    """Whoever asks is told for how long the watchdog has been silent; a sign of another boot is none."""
    folder = WatchFolder(tmp_path, "here")
    folder.sign()
    silent_s = folder.silent_s()
    assert silent_s is not None
    assert 0 <= silent_s < 5
    (tmp_path / "here" / "alive").write_text(f"{now() + 1000}\n")
    assert folder.silent_s() is None


def _no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_keeps_nobody_frozen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written the guest is thawed all the same, and its worker is told by what is gone."""
    world.guest.change(frozen=True)
    ward = begin(world, age_s=11)
    monkeypatch.setattr(watch_folder, "write_whole", _no_space)
    look(world)
    assert not is_frozen(world)
    assert world.wards(ward.job).over()


def test_what_cannot_be_put_on_record_is_not_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No freeze that nobody would end: the job fails and says why, and nothing is left of it."""
    before = world.files()
    monkeypatch.setattr(watch_folder, "write_whole", _no_space)
    ending = world.create("s1", "hot").to_the_end()
    assert given(ending.error)["code"] == "host.not_on_record"
    assert world.files() == before
    world.guest.tick()
