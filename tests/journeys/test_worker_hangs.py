"""A process that carries a job and stands still: its lease lapses, it is ended, and the job goes on."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.journeys.site import Site, until
from tests.journeys.witness import Witness


@pytest.mark.slow
def test_a_job_is_taken_from_a_process_that_hangs(
    site: Site, witness: Callable[..., Witness], measured: Callable[[str, float], None]
) -> None:
    """It holds the VM's lock on the host for ever: within a minute another has the job, and ends it right."""
    vm = witness()
    mark = vm.mark()
    with site.nobody_begins("keep_snapshot") as is_waited_for:
        job = vm.ask("hot")
        until(is_waited_for, 30, "the worker before keep_snapshot")
        os.kill(site.holder(job), signal.SIGSTOP)
        stopped_at = time.time()
    taken_at = site.when(job, "job.taken_over")
    job = site.succeeded(job, 90)
    measured("process hung -> its job taken over", taken_at - stopped_at)
    assert taken_at - stopped_at < 60
    assert job["attempt"] == 2
    assert "was killed" in site.said()
    vm.holds(vm.ready(job, mark))
    vm.is_tidy()
