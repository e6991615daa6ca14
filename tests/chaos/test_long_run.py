"""Three minutes of what `python -m tests.chaos.long_run` does for hours."""

import pytest

from tests.chaos.long_run import LongRun
from tests.journeys.site import Site


@pytest.mark.chaos
@pytest.mark.timeout(1500)
def test_three_minutes_of_everything(site: Site) -> None:
    """Four clients work on four guests while everything is killed: no wrong byte, no stuck job, nothing left behind."""
    found = LongRun(site, seed=7).run(3)
    assert found["violations"] == []
    assert (found["wrong_bytes"], found["stuck_jobs"], found["unfinished_jobs"], found["untidy"]) == (
        0,
        0,
        0,
        0,
    )
    assert sum(found["jobs"].values()) > 10
    assert sum(found["killed"].values()) > 3
