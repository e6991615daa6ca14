"""How a step has its freeze or pause watched: on record before it begins, off it when its end was seen.

    with work.wards.freeze() as watched:
        ...freeze, and thaw again...
    if watched.broken:
        ...the watchdog thawed meanwhile...

An exception leaves the record: nobody has seen the end. The step, when it is done again, finds it (`left`), puts right what it
must, and says so (`over`); what no step puts right in time, the watchdog does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from stillframe.errors import NotOnRecord, VmHeld, VmNotLocked
from workers.watch_folder import Kind, Ward, WatchFolder, now

#: Seconds to wait for a watchdog that is just at work on this VM: a hung guest agent keeps it waiting as well.
_TURN_S = 60.0


@dataclass
class Watched:
    """A freeze or a pause under way."""

    #: Known when it is over: whether the watchdog acted, so that it may have ended before its time.
    broken: bool = False


@dataclass(frozen=True, kw_only=True)
class Wards:
    """The wards of one job on its VM. A job has one at a time."""

    folder: WatchFolder
    vm: UUID
    name: str
    job: UUID
    #: This process, by the name of `workers.identity`.
    holder: str
    freeze_budget_s: float
    pause_budget_s: float

    @contextmanager
    def freeze(self) -> Iterator[Watched]:
        """For a block that freezes the guest's filesystems and thaws them. Raises NotOnRecord and VmHeld before it.

        The record stays, as one of a freeze that ended, until `over` is called: the journal does not know of it yet.
        """
        self._begin("freeze", self.freeze_budget_s, ours=False)
        watched = Watched()
        yield watched
        watched.broken = self._end(self._keep_as_evidence)

    @contextmanager
    def pause(self, *, ours: bool = False) -> Iterator[Watched]:
        """For a block that pauses the VM and resumes it. With `ours` it suspends it itself, as a user might.

        Without it the pause is that of a call of libvirt: what a user pauses meanwhile is left alone.
        """
        self._begin("pause", self.pause_budget_s, ours=ours)
        watched = Watched()
        yield watched
        watched.broken = self.over()

    def left(self) -> Ward | None:
        """What this job has begun, in this attempt or one before, and nobody has seen the end of."""
        return self.folder.ward(self.vm, self.job)

    def over(self) -> bool:
        """The end was seen. Returns whether the watchdog had acted: it ended before its time, or may have."""
        return self.left() is None or self._end(self.folder.remove)

    def _end(self, act: Callable[[Ward], object]) -> bool:
        try:
            with self.folder.alone(self.vm, self.name, _TURN_S):
                ward = self.left()
                if ward is not None:
                    act(ward)
                return ward is None or ward.broken
        except (VmHeld, VmNotLocked):
            return True  # the watchdog is at it, and takes the record away itself, once it sees the end

    def _keep_as_evidence(self, ward: Ward) -> None:
        try:
            self.folder.change(ward, ended=True)
        except OSError:  # no room: then there is none
            self.folder.remove(ward)

    def _begin(self, kind: Kind, budget_s: float, *, ours: bool) -> None:
        ward = Ward(
            vm=self.vm,
            name=self.name,
            job=self.job,
            kind=kind,
            ours=ours,
            began=now(),
            budget_s=budget_s,
            holder=self.holder,
        )
        try:
            with self.folder.alone(self.vm, self.name, _TURN_S):
                self.folder.write(ward)
        except (OSError, VmNotLocked) as error:
            raise NotOnRecord(kind=kind, vm=self.name, detail=str(error)) from error
