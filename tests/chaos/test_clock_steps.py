"""The wall clock of a machine is stepped by an hour in the middle of a job."""

from collections.abc import Callable, Iterator

import pytest

from lab.clock import Clock
from tests.chaos.points import Point
from tests.chaos.strike import Hold, Strike
from tests.chaos.theatre import Theatre
from tests.journeys.site import Json, Site

AMID = (
    Point("create memory", 1, "amid", "ram", "clock"),
    Point("delete the middle, on", 1, "amid", "live merge", "clock"),
    Point("extract", 1, "amid", "convert", "clock"),
)
#: Whose clocks are stepped together: those of one machine.
MACHINES = {"database": ("postgres",), "host": ("watchdog", "worker"), "control": ("api", "control", "beat")}
HOUR_S = 3600


@pytest.fixture(params=MACHINES)
def clocks(site: Site, request: pytest.FixtureRequest) -> Iterator[list[Clock]]:
    """The clocks of a machine's programs, which follow them from here on."""
    programs = MACHINES[request.param]
    daemons = [
        site.lab.places.daemon(name) if name == "postgres" else site.stack.daemon(name) for name in programs
    ]
    _start_again(site, programs, [daemon.clock.begin for daemon in daemons])
    yield [daemon.clock for daemon in daemons]
    _start_again(site, programs, [daemon.clock.end for daemon in daemons])


def _start_again(site: Site, programs: tuple[str, ...], meanwhile: list[Callable[[], None]]) -> None:
    for name in programs:
        site.lab.kill_postgres() if name == "postgres" else site.stack.stop(name)
    for act in meanwhile:
        act()
    site.mend()


@pytest.mark.chaos
@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])
@pytest.mark.parametrize("point", AMID, ids=str)
@pytest.mark.timeout(480)
def test_a_clock_is_stepped_in_the_middle_of_a_job(
    site: Site, clocks: list[Clock], point: Point, ahead_s: int
) -> None:
    """The job ends well, with all data, and so does the next, which is asked for by the stepped clock."""

    class Step(Strike):
        def _kill(self, job: Json, hold: Hold | None = None) -> None:
            for clock in clocks:
                clock.stand(ahead_s)

    theatre = Theatre(site)
    theatre.strike = Step
    outcome = theatre.play(point)
    assert outcome.faults == [], outcome.story
    assert outcome.missed == ""
    assert outcome.ended == "succeeded"
