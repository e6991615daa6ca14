"""Every operation, cut at every point of its plan and before and after every call to the machine, then carried on."""

from collections.abc import Callable
from typing import Any

import pytest

from stillframe.states import VmState
from tests.workers.dying import Film, Picture, Whole, die, ends_like_one_that_was_not, watched
from tests.workers.fake_world import Death, Job, World
from workers.carry import End, Ending
from workers.operations import merging


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake machine needs no time for a merge."""
    monkeypatch.setattr(merging, "POLL_S", 0.0)


def _two_snapshots(world: World) -> None:
    for name in ("s1", "s2"):
        world.guest.tick()
        assert world.create(name, "hot").to_the_end().end is End.SUCCEEDED
    world.guest.tick()


def _three_snapshots(world: World) -> None:
    _two_snapshots(world)
    assert world.create("s3", "hot").to_the_end().end is End.SUCCEEDED
    world.guest.tick()


def _branch(world: World) -> None:
    _two_snapshots(world)
    assert world.revert("s1").to_the_end().end is End.SUCCEEDED
    world.guest.tick()
    assert world.create("s3", "hot").to_the_end().end is End.SUCCEEDED
    world.guest.tick()


def _fork_above(world: World) -> None:
    for name in ("s1", "s2", "s3"):
        world.guest.tick()
        assert world.create(name, "hot").to_the_end().end is End.SUCCEEDED
    assert world.revert("s2").to_the_end().end is End.SUCCEEDED
    world.guest.tick()


def _create(kind: str, state: VmState = VmState.RUNNING, **words: Any) -> Film:
    def film(world: World) -> Job:
        world.guest.tick()
        if state == VmState.PAUSED:
            world.guest.change(state=state, reason="user")
        elif state == VmState.OFF:
            world.guest.shut_down()
        return world.create("new", kind, **words)

    return film


def _after(before: Callable[[World], None], act: Callable[[World], Job], *, off: bool = False) -> Film:
    def film(world: World) -> Job:
        before(world)
        if off:
            world.guest.shut_down()
        return act(world)

    return film


def _memory(world: World) -> None:
    world.guest.tick()
    assert world.create("s1", "memory").to_the_end().end is End.SUCCEEDED
    world.guest.tick()


def _extracted(world: World) -> Job:
    job = world.extract("s1")
    assert job.to_the_end().end is End.SUCCEEDED
    return job


FILMS: dict[str, Film] = {
    "create hot": _create("hot"),
    "create hot without quiesce": _create("hot", quiesce="never"),
    "create hot of a paused VM": _create("hot", VmState.PAUSED),
    "create memory": _create("memory"),
    "create cold": _create("cold", VmState.OFF),
    "revert to memory": _after(_memory, lambda world: world.revert("s1")),
    "revert to hot": _after(_two_snapshots, lambda world: world.revert("s1")),
    "revert to hot, off": _after(_two_snapshots, lambda world: world.revert("s1"), off=True),
    "delete the oldest": _after(_two_snapshots, lambda world: world.delete("s1")),
    "delete the newest": _after(_two_snapshots, lambda world: world.delete("s2")),
    "delete the oldest, off": _after(_two_snapshots, lambda world: world.delete("s1"), off=True),
    "delete the newest, off": _after(_two_snapshots, lambda world: world.delete("s2"), off=True),
    "delete a fork": _after(_branch, lambda world: world.delete("s1")),
    "delete below a fork": _after(_fork_above, lambda world: world.delete("s1")),
    "delete a dead branch": _after(_branch, lambda world: world.delete("s2")),
    "delete a dead branch, off": _after(_branch, lambda world: world.delete("s2"), off=True),
    "delete two of three": _after(_three_snapshots, lambda world: world.prune("s1", "s2")),
    "delete all of three": _after(_three_snapshots, lambda world: world.prune("s1", "s2", "s3")),
    "delete two of three, off": _after(_three_snapshots, lambda world: world.prune("s2", "s3"), off=True),
    "delete a fork and a dead branch": _after(_branch, lambda world: world.prune("s1", "s2")),
    "delete below and in a fork": _after(_fork_above, lambda world: world.prune("s1", "s2")),
    "extract": _after(_two_snapshots, lambda world: world.extract("s1")),
    "remove what was extracted": _after(_two_snapshots, lambda world: world.delete_volume(_extracted(world))),
}
VOLUMES = {
    "1 volume": {"vda": "qcow2"},
    "2 volumes": {"vda": "raw", "vdb": "qcow2"},
    "3 volumes": {"vda": "raw", "vdb": "qcow2", "vdc": "qcow2"},
}
WITH_VOLUMES = pytest.mark.parametrize(
    "volumes",
    [
        pytest.param(VOLUMES["1 volume"], id="1 volume"),
        pytest.param(VOLUMES["3 volumes"], id="3 volumes", marks=pytest.mark.chaos),
    ],
)
DELETES = {name: film for name, film in FILMS.items() if name.startswith("delete")}


def _picture(world: World) -> Picture:
    """All that must be the same whether or not a worker died: data, shape of the tree, state, number of files."""
    tree = world.tree()
    names = {id_: name for name, id_ in world.ids.items()}
    with world.machine.world() as inside:
        counters = {target: inside.reads_as(path).get("counter") for target, path in tree.heads.items()}
        jobs = dict(inside.vms[str(world.guest.uuid)].jobs)
        frozen = inside.vms[str(world.guest.uuid)].frozen
    return {
        "state": world.facts().state,
        "heads": counters,
        "snapshots": {
            names[id_]: {
                target: world.machine.read_back(path).get("counter") for target, path in paths.items()
            }
            for id_, paths in tree.frozen.items()
        },
        "parents": {names[id_]: names.get(tree.parent(id_) or id_) for id_ in tree.frozen},
        "current": names.get(current) if (current := tree.current()) else None,
        "manifests": sorted((names[one.id], one.state) for one in world.manifests()),
        "files": len(world.files()),
        "frozen": frozen,
        "wards": world.watch.wards(),
        "jobs": jobs,
    }


@WITH_VOLUMES
@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS.keys())
def test_a_job_cut_anywhere_ends_like_one_that_was_not(film: Film, volumes: dict[str, str]) -> None:
    """Whatever the point of death, the next attempt brings data, tree, VM state and files to the same end."""
    ends_like_one_that_was_not(film, volumes, _picture)


def test_what_had_to_be_quiesced_is_so_however_often_its_worker_died() -> None:
    """At every point of death: the cut fell into a freeze that is on record, or was done again; the snapshot says so."""
    film = _create("hot", quiesce="require")
    for number, point in enumerate(watched(film, None, _picture).points):
        world = World()
        ending = film(world).to_the_end(dies_at=number)
        assert ending.end is End.SUCCEEDED, (point, ending.error)
        (manifest,) = world.manifests()
        assert manifest.consistency == "filesystem", point


@pytest.mark.parametrize(
    "volumes",
    [
        pytest.param(VOLUMES["2 volumes"], id="2 volumes"),
        pytest.param(VOLUMES["3 volumes"], id="3 volumes", marks=pytest.mark.chaos),
    ],
)
@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS.keys())
def test_a_cancel_that_meets_a_dead_worker_leaves_all_as_before_or_done(
    film: Film, volumes: dict[str, str]
) -> None:
    """Died anywhere, then cancelled: what comes out is the state before the job or the state after it, never between.

    A deletion that was stopped half way has its end when it is asked for again.
    """
    whole = watched(film, volumes, _picture)

    for number in range(len(whole.points)):
        world = World(volumes)
        job = film(world)
        point = die(world, job, number)
        accepted = job.cancel()
        ending = job.run()
        _check_end(world, job, ending, accepted, whole, point)


@WITH_VOLUMES
@pytest.mark.parametrize("film", DELETES.values(), ids=DELETES.keys())
def test_a_delete_cancelled_anywhere_is_ended_by_asking_again(film: Film, volumes: dict[str, str]) -> None:
    """A cancel that is accepted at whatever point is heard, breaks nothing, and costs nothing but to ask again."""
    whole = watched(film, volumes, _picture)
    cancelled = 0

    for number, point in enumerate(whole.points):
        world = World(volumes)
        job = film(world)
        accepted = _cancel_at(world, job, number)
        ending = job.run()
        assert (ending.end is End.CANCELLED) == accepted(), (point, ending.error)
        cancelled += accepted()
        _check_end(world, job, ending, accepted(), whole, point)
    assert cancelled > 5


@pytest.mark.chaos
@pytest.mark.parametrize("film", DELETES.values(), ids=DELETES.keys())
def test_a_delete_that_dies_while_it_is_stopped_is_stopped_all_the_same(film: Film) -> None:
    """Cancelled at every point, the worker killed at every point after that: the next attempt ends what was under way."""
    whole = watched(film, VOLUMES["1 volume"], _picture)

    for number, point in enumerate(whole.points):
        world = World(VOLUMES["1 volume"])
        job = film(world)
        _cancel_at(world, job, number)
        job.run()
        for death in range(number, len(world.machine.mortality.points)):
            other = World(VOLUMES["1 volume"])
            job = film(other)
            accepted = _cancel_at(other, job, number)
            other.machine.mortality.dies_at = death
            with pytest.raises(Death):
                job.run()
            other.machine.mortality.dies_at = None
            ending = job.run()
            _check_end(other, job, ending, accepted(), whole, f"{point}, then died at {death}")


def _cancel_at(world: World, job: Job, number: int) -> Callable[[], bool]:
    """Has the job cancelled at a point; the answer, once it was passed, whether that was accepted."""
    accepted: list[bool] = []
    world.machine.mortality.forget()
    world.machine.mortality.happens[number] = lambda: accepted.append(job.cancel())
    return lambda: accepted == [True]


def _check_end(world: World, job: Job, ending: Ending, accepted: bool, whole: Whole, point: str) -> None:
    """Done, or as before; or stopped half way with every other snapshot and the guest right, and then ended."""
    found = _picture(world)
    if ending.end is End.SUCCEEDED:
        assert found == whole.after, point
        return
    assert (ending.end, accepted) == (End.CANCELLED, True), (point, ending.error)
    if found == whole.before:
        return
    assert ending.error
    assert "again" in ending.error["remedy"], point
    for part in ("state", "heads", "snapshots", "frozen", "jobs"):
        assert found[part] == whole.after[part], (point, part)
    again = Job(world, job.operation, job.about)
    ending = again.to_the_end()
    assert (ending.end, _picture(world)) == (End.SUCCEEDED, whole.after), (point, ending.error)


def _writes(world: World) -> None:
    world.guest.tick()


def _shuts_down(world: World) -> None:
    world.guest.tick()
    world.guest.shut_down()


def _crashes(world: World) -> None:
    world.guest.tick()
    world.guest.crash()


def _starts(world: World) -> None:
    world.host.vm(world.guest.uuid).start()
    world.guest.tick()


MEANWHILE = {"writes": _writes, "shuts down": _shuts_down, "crashes": _crashes, "is started": _starts}


@pytest.mark.parametrize("meanwhile", MEANWHILE.values(), ids=MEANWHILE.keys())
@pytest.mark.parametrize("film", DELETES.values(), ids=DELETES.keys())
def test_a_delete_cut_anywhere_bears_what_the_guest_does_meanwhile(
    film: Film, meanwhile: Callable[[World], None]
) -> None:
    """Between a worker's death and the next attempt the guest writes, stops, crashes or starts: its data stays right."""
    whole = watched(film, VOLUMES["1 volume"], _picture)
    for number in range(len(whole.points)):
        world = World(VOLUMES["1 volume"])
        job = film(world)
        point = die(world, job, number)
        off = world.facts().state == VmState.OFF
        if off == (meanwhile is _starts):
            meanwhile(world)
        counters = _picture(world)["heads"]
        ending = job.run()
        found = _picture(world)
        assert ending.end is End.SUCCEEDED, (point, ending.error)
        assert found["heads"] == counters, point
        for part in ("snapshots", "parents", "current", "manifests", "files", "jobs"):
            assert found[part] == whole.after[part], (point, part)
