"""A job from its message to its end, with the database going away in between."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from models.jobs.attempt import Attempt
from stillframe.operations import RevertSnapshot
from stillframe.states import JobState, VmState
from tests.workers.site import Site, away
from tests.world import World
from workers.progress import Progress

pytestmark = pytest.mark.postgres


@pytest.fixture
def site(engine: Engine, tmp_path: Path) -> Site:
    """A host with a VM that runs."""
    return Site(engine, tmp_path)


def test_an_outage_past_the_point_of_no_return_turns_nothing_back(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The VM of a revert is stopped, and Postgres is away until the job's time is over: it is reverted and runs."""
    job = site.ask(RevertSnapshot(snapshot_id=str(site.snapshot()), timeout_s=600))
    before = site.heads()
    real, over = Attempt.finish, list[str]()

    def finish(self: Attempt, step: str, output: Any, then: str | None, no_return: bool = False) -> bool:
        if step == "stop_vm" and not over:
            over.append(step)
            raise away()
        return real(self, step, output, then, no_return)

    monkeypatch.setattr(Attempt, "finish", finish)
    monkeypatch.setattr(Progress, "is_late", property(lambda _: bool(over)))
    site.run(job)
    assert over
    assert (world.row(job).state, site.state()) == (JobState.SUCCEEDED, VmState.RUNNING)
    assert site.heads() != before
