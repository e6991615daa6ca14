"""Everything dies while a guest is frozen, and the watchdog alone is left."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.journeys.site import Site, until
from tests.journeys.witness import Witness

#: A freeze's budget, and what libvirt's agent channel and a busy machine may need on top of it. Seconds.
BUDGET_S = 10.0
SLACK_S = 10.0


@pytest.mark.slow
def test_all_else_dies_while_the_guest_is_frozen(
    site: Site, witness: Callable[..., Witness], measured: Callable[[str, float], None]
) -> None:
    """Libvirtd, worker, Redis and Postgres are killed in a quiesced cut; only libvirtd comes back: the guest writes on in time.

    When the others are back too, the job ends well and the event is there.
    """
    vm = witness()
    mark = vm.mark()
    libvirtd = site.lab.machine.libvirtd_pid()
    assert libvirtd is not None
    serial = vm.guest.serial.path
    hooks = serial.read_text().count("hook freeze")
    job = vm.ask("hot")
    until(lambda: serial.read_text().count("hook freeze") > hooks, 60, "the freeze", 0.002)
    os.kill(libvirtd, signal.SIGKILL)
    site.kill_worker()
    site.lab.kill_redis()
    site.lab.kill_postgres()

    stands_since = vm.guest.ticks()[-1].counter
    time.sleep(2.0)  # ten of its ticks
    assert vm.guest.ticks()[-1].counter <= stands_since + 1, "the guest was to be frozen"
    site.lab.start_libvirtd()
    back = time.monotonic()
    tick = vm.guest.wait_tick(after=stands_since + 3, timeout_s=60)
    measured("libvirtd back, all else dead -> frozen guest writes", time.monotonic() - back)
    assert time.monotonic() - back < BUDGET_S + SLACK_S
    assert tick.boot_id == mark.before.boot_id

    site.mend()
    shot = vm.ready(job, mark, 120)
    assert shot.row["consistency"] in {"filesystem", "crash"}
    events = until(
        lambda: site.client.events(type="guest.thawed", vm=vm.name)["items"], 30, "the event", every_s=0.1
    )
    assert [event["level"] for event in events] == ["warning"]
    assert events[0]["job_id"] == job["id"]
    vm.runs(mark.digest, boot=mark.before.boot_id)
    vm.holds(shot)
    vm.is_tidy()
