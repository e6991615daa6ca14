"""A cancel while a job waits for what libvirt goes on with though its worker died."""

import threading
import time

from tests.workers.fake_world import World
from tests.workers.nothing_is_lost.hurt import die_at
from workers.carry import End


def test_a_cancel_is_heard_while_a_cut_goes_on_and_nothing_is_undone_beside_it() -> None:
    """The wait ends within a second; what is undone is undone when libvirt is at nothing any more."""
    world = World()
    job = world.create("s1", "memory")
    die_at(world, job, "before cut")
    row = str(world.guest.uuid)
    with world.machine.world() as inside:
        inside.vms[row].activity = "snapshot"
    turned_back: list[float] = []
    ended: list[float] = []
    real = job.journal.turn_back

    def turn_back(error: dict[str, object]) -> None:
        turned_back.append(time.monotonic())
        real(error)
        threading.Timer(0.5, end).start()

    def end() -> None:
        with world.machine.world() as inside:
            inside.vms[row].activity = None
        ended.append(time.monotonic())

    job.journal.turn_back = turn_back  # type: ignore[method-assign]
    world.machine.calls.clear()
    asked = time.monotonic() + 0.2
    threading.Timer(0.2, job.cancel).start()
    ending = job.run()
    assert ending.end is End.CANCELLED
    assert turned_back[0] - asked < 5  # a change of the VM waits for 30 s
    assert ended[0] < time.monotonic()
    assert world.machine.calls[:2] == ["await_turn", "await_turn"]
    assert "cut" not in world.machine.calls
