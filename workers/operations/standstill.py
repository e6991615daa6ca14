"""What a guest stands still for: filesystems frozen for a cut, or a pause while the last of its RAM is written.

Each is on record for the watchdog before it begins (`workers/wards.py`). What an attempt left behind is ended here.
"""

from collections.abc import Mapping
from contextlib import suppress

from hypervisor.port import CutFacts, Source
from stillframe.errors import AgentUnresponsive, FreezeTooLong, HypervisorFailed, PauseTooLong
from stillframe.rules import ALIVE, LEFT_BY_A_CUT
from stillframe.states import Consistency, VmState
from workers.steps import Work


def cut_frozen(work: Work, layers: Mapping[str, Source], *, required: bool) -> CutFacts:
    """A cut of frozen filesystems. Raises FreezeTooLong, cut all the same, if they were thawed before and it is `required`."""
    with work.wards.freeze() as watched:
        done = work.vm.cut(layers, None, True, work.pulse)
    if not watched.broken:
        return done
    if required:
        raise FreezeTooLong(vm=work.wards.name, budget_s=work.wards.freeze_budget_s)
    return CutFacts(Consistency.CRASH, done.pause_ms, done.freeze_ms)


def cut_with_memory(work: Work, layers: Mapping[str, Source], memory: str) -> CutFacts:
    """A cut of a running VM with its RAM. libvirt pauses it for the last of it, and resumes it.

    Raises PauseTooLong if that took so long that the watchdog had it given up.
    """
    try:
        with work.wards.pause():
            done = work.vm.cut(layers, memory, False, work.pulse)
            wake(work)
    except HypervisorFailed as error:
        ward = work.wards.left()
        if ward is None or ward.broken:
            raise PauseTooLong(vm=work.wards.name, budget_s=work.wards.pause_budget_s) from error
        raise
    return done


def is_held(work: Work) -> bool:
    """Whether this job has frozen the guest, and thawed it only after the cut, if at all: a cut was one of a frozen guest."""
    ward = work.wards.left()
    return ward is not None and ward.kind == "freeze" and not ward.broken


def thaw(work: Work) -> None:
    """Ends a freeze of this job that outlived the call it was for: libvirtd, or a worker, died in between.

    A freeze that is not on record, or began after ours had ended, is somebody else's. One that cannot be ended stays on
    record, and the watchdog goes on.
    """
    ward = work.wards.left()
    if ward is None or ward.kind != "freeze":
        return
    if ward.ended:
        work.wards.over()
        return
    frozen = work.vm.is_frozen()
    if frozen:
        with suppress(AgentUnresponsive):
            work.vm.thaw()
        frozen = work.vm.is_frozen()
    if frozen is False or work.vm.facts().state not in ALIVE:
        work.wards.over()


def wake(work: Work) -> None:
    """A VM that ran before runs after: a libvirtd that died in the cut leaves it paused, and nobody asked for that."""
    facts = work.vm.facts()
    if facts.state == VmState.PAUSED and facts.reason in LEFT_BY_A_CUT:
        work.vm.resume()
    ward = work.wards.left()
    if ward is not None and ward.kind == "pause":
        work.wards.over()
