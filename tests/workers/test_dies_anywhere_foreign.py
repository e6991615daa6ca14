"""The plans about snapshots of other tools, cut at every point and before and after every call, then carried on."""

from collections.abc import Callable

import pytest

from stillframe.operations import DeleteSnapshot, ExtractVolume, RevertSnapshot
from stillframe.states import VmState
from tests.workers.dying import Film, Picture, die, ends_like_one_that_was_not, watched
from tests.workers.fake_world import Job, World
from workers.carry import End


def _two(world: World) -> None:
    world.guest.tick()
    world.guest.take_internal("one")
    world.guest.tick()
    world.guest.take_internal("two")
    world.guest.tick()


def _cold(world: World) -> None:
    world.guest.tick()
    world.guest.shut_down()
    world.guest.take_internal("one")
    world.guest.boot()
    world.guest.tick()


def _revert(before: Callable[[World], None], after: str = "keep", *, crashed: bool = False) -> Film:
    def film(world: World) -> Job:
        before(world)
        if crashed:
            world.guest.crash()
        return world.about_foreign(RevertSnapshot(snapshot_id="x", after=after), "one")  # type: ignore[arg-type]

    return film


def _delete(*, forgotten: bool = False, off: bool = False, pause: bool = False) -> Film:
    def film(world: World) -> Job:
        _two(world)
        if forgotten:
            world.guest.forget_foreign("one")
        if off:
            world.guest.shut_down()
        job = world.about_foreign(DeleteSnapshot(snapshot_id="x"), "one")
        job.pause = pause
        return job

    return film


def _extract(world: World) -> Job:
    _two(world)
    return world.about_foreign(ExtractVolume(snapshot_id="x", target="vda"), "one")


FILMS: dict[str, Film] = {
    "revert with RAM": _revert(_two),
    "revert with RAM, crashed": _revert(_two, crashed=True),
    "revert without RAM": _revert(_cold),
    "revert without RAM, to be off": _revert(_cold, "stop"),
    "delete": _delete(),
    "delete, off": _delete(off=True),
    "delete what libvirt forgot": _delete(forgotten=True),
    "delete, paused": _delete(pause=True),
    "delete, off, to be paused": _delete(pause=True, off=True),
    "extract": _extract,
}
VOLUMES = {"vda": "qcow2", "vdb": "qcow2", "vdc": "qcow2"}


def _picture(world: World) -> Picture:
    """All that must be the same whether or not a worker died: data, RAM, snapshots, state, files."""
    facts = world.facts()
    with world.machine.world() as inside:
        row = inside.vms[str(world.guest.uuid)]
        return {
            "state": facts.state,
            "ram": dict(row.ram),
            "frozen": row.frozen,
            "images": {
                volume.target: (
                    volume.path,
                    inside.reads_as(volume.path),
                    sorted(inside.image(volume.path).internal),
                )
                for volume in facts.volumes
            },
            "snapshots": [(one.name, one.parent, one.current) for one in facts.foreign_snapshots],
            "copies": [
                inside.reads_as(path) for path in inside.files if "/volumes/" in path and path.endswith("2")
            ],
            "files": len(inside.files),
            "wards": len(world.watch.wards()),
        }


@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS.keys())
def test_a_job_cut_anywhere_ends_like_one_that_was_not(film: Film) -> None:
    """Whatever the point of death, the next attempt brings data, RAM, VM state and snapshots to the same end."""
    ends_like_one_that_was_not(film, VOLUMES, _picture)


@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS.keys())
def test_a_cancel_that_meets_a_dead_worker_leaves_all_as_before_or_done(film: Film) -> None:
    """Died anywhere, then cancelled: what comes out is the state before the job or the state after it, never between."""
    whole = watched(film, VOLUMES, _picture)
    for number in range(len(whole.points)):
        world = World(VOLUMES)
        job = film(world)
        point = die(world, job, number)
        job.progress.cancel_asked = True
        ending = job.run()
        found = _picture(world)
        if ending.end is End.SUCCEEDED:
            assert found == whole.after, point
        else:
            assert ending.end is End.CANCELLED, ending.error
            assert found == whole.before, point


def test_a_revert_that_is_over_is_not_done_again() -> None:
    """Libvirt ends what a worker that died had begun: what the guest has done since then stays."""
    dies_at = watched(_revert(_two), VOLUMES, _picture).points.index("after revert_internal")

    world = World(VOLUMES)
    job = _revert(_two)(world)
    die(world, job, dies_at)
    at = world.guest.tick()
    assert job.run().end is End.SUCCEEDED
    assert (world.guest.counter, world.facts().state) == (at, VmState.RUNNING)
