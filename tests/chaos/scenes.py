"""The scenes in which something is killed: one operation each, on a VM with snapshots whose data is known."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab import Tick, readback
from tests.given import given
from tests.journeys.site import Json, Site, until
from tests.journeys.witness import Mark, Shot, Witness

#: What is written so that a long call is long enough to be met in its middle. MiB.
BULK_MIB = 100


@dataclass
class Stage:
    """A VM between two points: what its disks hold, and which snapshots it has, oldest first."""

    vm: Witness
    #: Whether there is data for long calls.
    big: bool
    shots: list[Shot] = field(default_factory=list)
    #: The snapshot that the scene is about.
    about: Shot | None = None
    #: What the disks hold now.
    digest: str = ""
    #: The last tick before the operation was asked for: it is in whatever comes of it.
    asked: Tick | None = None

    @property
    def site(self) -> Site:
        return self.vm.site

    def run(self) -> None:
        """The VM runs, however it was left."""
        if not self.vm.guest.is_active:
            self.vm.guest.start()
        self.vm.guest.wait_tick(timeout_s=90)

    def write(self) -> Mark:
        """Another file on all disks."""
        mark = self.vm.mark()
        self.digest = mark.digest
        return mark

    def take(self, kind: str) -> Shot:
        """A snapshot of what is written now; the VM runs before and after."""
        mark = self.write()
        if kind == "cold":
            mark = self.vm.power_off()
        shot = self.vm.take(kind, mark)
        self.shots.append(shot)
        if kind == "cold":
            self.run()
        return shot

    def clear(self) -> None:
        """All snapshots go, and the VM runs: also a proof that it all still works."""
        for shot in self.shots:
            self.vm.delete(shot)
        self.shots, self.about = [], None
        self.run()


Play = Callable[[Stage], None]
Ask = Callable[[Stage], Json]
End = Callable[[Stage, Json], None]


@dataclass(frozen=True)
class Scene:
    """`begin` sets it, `ask` asks for the operation, `end` sees that a job that succeeded has done it.

    `on` is whether the VM runs while the job does, `amid` which long calls the job makes.
    """

    name: str
    kind: str
    begin: Play
    ask: Ask
    end: End
    on: bool
    on_after: bool
    amid: tuple[str, ...] = ()


def _off(stage: Stage) -> None:
    stage.vm.power_off()


def _bulk(stage: Stage) -> None:
    if stage.big:
        stage.vm.fill(BULK_MIB)


def _create(kind: str, *amid: str) -> Scene:
    def begin(stage: Stage) -> None:
        stage.take("hot")
        stage.write()
        if kind == "cold":
            stage.vm.power_off()

    def end(stage: Stage, job: Json) -> None:
        assert stage.asked is not None
        row = stage.site.client.snapshot(job["snapshot_id"])
        assert (row["state"], row["type"]) == ("ready", kind), row
        stage.shots.append(Shot(row["id"], Mark(stage.asked, stage.digest), job, row))

    on = kind != "cold"
    return Scene(
        f"create {kind}", "create_snapshot", begin, lambda stage: stage.vm.ask(kind), end, on, on, amid
    )


def _revert(kind: str, *amid: str, on: bool) -> Scene:
    def begin(stage: Stage) -> None:
        stage.about = stage.take(kind)
        stage.take("hot")
        stage.write()
        if not on:
            stage.vm.power_off()

    def ask(stage: Stage) -> Json:
        assert stage.about is not None
        return stage.site.client.revert_snapshot(stage.about.id)

    def end(stage: Stage, _: Json) -> None:
        assert stage.about is not None
        stage.digest = stage.about.mark.digest

    name = f"revert to {kind}, {'on' if on else 'off'}"
    return Scene(name, "revert_snapshot", begin, ask, end, on, on or kind == "memory", amid)


def _delete(which: str, *amid: str, on: bool) -> Scene:
    number = {"oldest": 0, "middle": 1, "newest": 2}[which]

    def begin(stage: Stage) -> None:
        for later in range(3):
            stage.take("hot")
            if later == number:  # the data that has to move when this one goes
                _bulk(stage)
        stage.write()
        stage.about = stage.shots[number]
        if not on:
            stage.vm.power_off()

    def ask(stage: Stage) -> Json:
        assert stage.about is not None
        return stage.site.client.delete_snapshot(stage.about.id)

    def end(stage: Stage, _: Json) -> None:
        assert stage.about is not None
        assert stage.site.client.snapshot(stage.about.id)["state"] == "deleted"
        stage.shots.remove(stage.about)

    name = f"delete the {which}, {'on' if on else 'off'}"
    return Scene(name, "delete_snapshot", begin, ask, end, on, on, amid)


def _prune(*amid: str, on: bool) -> Scene:
    """The older two of three together, which lie side by side."""

    def begin(stage: Stage) -> None:
        for number in range(3):
            stage.take("hot")
            if number == 0:
                _bulk(stage)
        stage.write()
        if not on:
            stage.vm.power_off()

    def ask(stage: Stage) -> Json:
        (job,) = stage.site.client.delete_snapshots([shot.id for shot in stage.shots[:2]])["items"]
        return job

    def end(stage: Stage, job: Json) -> None:
        for shot in stage.shots[:2]:
            assert stage.site.client.snapshot(shot.id)["state"] == "deleted"
        merges = [step["name"] for step in job["steps"] if step["name"].startswith("commit:")]
        assert len(merges) == len(stage.vm.guest.disks), merges
        del stage.shots[:2]

    return Scene(f"prune, {'on' if on else 'off'}", "prune_snapshots", begin, ask, end, on, on, amid)


def _extract() -> Scene:
    def begin(stage: Stage) -> None:
        _bulk(stage)
        stage.about = stage.take("hot")
        stage.write()

    def ask(stage: Stage) -> Json:
        assert stage.about is not None
        return stage.site.client.extract_volume(stage.about.id, "vda")

    def end(stage: Stage, job: Json) -> None:
        assert stage.about is not None
        volume = stage.site.client.volume(job["volume_snapshot_id"])
        path = Path(given(volume["path"]))
        marker = readback.read_file(path, "/marker")
        assert hashlib.sha256(marker).hexdigest() == stage.about.mark.digest
        said = until(lambda: stage.site.client.volume(volume["id"])["sha256"], 30, "the checksum")
        assert said == hashlib.sha256(path.read_bytes()).hexdigest()

    return Scene("extract", "extract_volume", begin, ask, end, True, True, ("convert",))


def _delete_volume() -> Scene:
    """The image of a volume that was extracted."""
    made: list[Json] = []

    def begin(stage: Stage) -> None:
        stage.about = stage.take("hot")
        stage.write()
        job = stage.site.succeeded(stage.site.client.extract_volume(stage.about.id, "vda"))
        made.append(stage.site.client.volume(job["volume_snapshot_id"]))

    def ask(stage: Stage) -> Json:
        return stage.site.client.delete_volume(made[-1]["id"])

    def end(stage: Stage, _: Json) -> None:
        assert stage.site.client.volume(made[-1]["id"])["state"] == "deleted"
        assert not Path(made[-1]["path"]).exists()

    return Scene("delete a volume", "delete_volume", begin, ask, end, True, True)


SCENES: dict[str, Scene] = {
    scene.name: scene
    for scene in (
        _create("hot"),
        _create("memory", "ram"),
        _create("cold"),
        *(_revert(kind, on=on) for kind in ("hot", "cold") for on in (True, False)),
        *(_revert("memory", "restore", on=on) for on in (True, False)),
        *(_delete(which, "live merge", on=True) for which in ("oldest", "middle", "newest")),
        *(_delete(which, "commit", on=False) for which in ("oldest", "middle", "newest")),
        _prune("live merge", on=True),
        _prune("commit", on=False),
        _extract(),
        _delete_volume(),
    )
}
