"""Database and broker fail in the middle of a job: it goes on, and what it began is neither lost nor done twice."""

import pytest

from tests.chaos.points import Point
from tests.chaos.theatre import Theatre
from tests.journeys.site import Site, until
from tests.journeys.witness import Witness

AMID = (
    Point("create memory", 1, "amid", "ram", "postgres"),
    Point("delete the middle, on", 1, "amid", "live merge", "postgres"),
    Point("extract", 1, "amid", "convert", "postgres"),
)
#: Seconds: twice as long as a lease.
LONG_AWAY_S = 60.0


@pytest.fixture
def theatre(site: Site) -> Theatre:
    return Theatre(site)


@pytest.mark.chaos
@pytest.mark.parametrize("away_s", [0.5, LONG_AWAY_S], ids=["restarted", "away-60-s"])
@pytest.mark.parametrize("point", AMID, ids=str)
@pytest.mark.timeout(480)
def test_the_database_in_the_middle_of_a_job(theatre: Theatre, point: Point, away_s: float) -> None:
    """Killed, and away for longer than a lease: the job ends well, with all data, when it is back."""
    outcome = theatre.play(point, away_s)
    assert outcome.faults == [], outcome.story
    assert outcome.missed == ""


@pytest.mark.chaos
@pytest.mark.parametrize("away_s", [0.5, 20.0], ids=["restarted", "away"])
def test_the_broker_in_the_middle_of_a_job(theatre: Theatre, away_s: float) -> None:
    """A job that runs does not need the broker."""
    outcome = theatre.play(Point("delete the middle, on", 1, "amid", "live merge", "redis"), away_s)
    assert outcome.faults == [], outcome.story
    assert outcome.missed == ""


def test_a_message_is_out_of_hand_before_its_job_runs(site: Site, witness: object) -> None:
    """Whatever the broker's visibility timeout is, it has no message to deliver again while a job goes on."""
    vm: Witness = witness()  # type: ignore[operator]
    with site.nobody_begins("cut") as is_waited_for:
        job = vm.ask("hot")
        until(is_waited_for, 30, "the worker before the cut")
        with site.redis() as redis:
            assert redis.hlen(f"unacked.{site.host}") == 0
            assert redis.zcard(f"unacked_index.{site.host}") == 0
        assert site.queued_messages() == 0
    job = site.succeeded(job, 90)
    assert site.story(job).count("job.started") == 1
    vm.runs_bare()
    vm.is_tidy()
