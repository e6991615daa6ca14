"""Whether a firing's turn is now: it goes, waits for another look, or is skipped for good, with the reason."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from stillframe.counting import are, counted, size
from stillframe.policies.policy import Guards, Policy
from stillframe.policies.schedule import Overlap, zone
from stillframe.rules import ALIVE
from stillframe.states import SnapshotType, VmState


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What is known of a VM when its turn comes. Sizes in bytes; None where the host has not told."""

    vm: str
    state: VmState
    #: Layers under its deepest volume.
    depth: int
    #: Where its layers go: the least that is free on any of its storages, in bytes and of the whole.
    free_bytes: int | None = None
    free_percent: float | None = None
    #: A job of the same policy on this VM that is not over.
    own_job: str | None = None
    #: A deletion on this VM that is not over.
    merging: str | None = None
    #: Why the policy has set the VM aside, if so.
    set_aside: str | None = None
    #: Scheduled jobs that are not over on its host, and on its storage.
    on_host: int = 0
    on_storage: int = 0


@dataclass(frozen=True)
class Turn:
    """What becomes of it."""

    kind: Literal["go", "wait", "skip"]
    reason: str | None = None


GO = Turn("go")


def turn(policy: Policy, overlap: Overlap, timezone: str, moment: Moment, now: datetime) -> Turn:
    """What stands in the way for good is looked at first; what passes, last."""
    if skip := _never(policy, timezone, moment, now):
        return Turn("skip", skip)
    if moment.own_job:
        kind: Literal["skip", "wait"] = "skip" if overlap == "skip" else "wait"
        return Turn(kind, f"the one before it is not over (job {moment.own_job})")
    if why := crowded(policy.guards, moment.on_host, moment.on_storage):
        return Turn("wait", why)
    return GO


def crowded(guards: Guards, on_host: int, on_storage: int = 0) -> str | None:
    """Why another scheduled job would be one too many at this moment, if it would."""
    if on_host >= guards.max_per_host:
        return f"{_jobs(on_host)} under way on its host, and {guards.max_per_host} may be"
    if on_storage >= guards.max_per_storage:
        return f"{_jobs(on_storage)} under way on its storage, and {guards.max_per_storage} may be"
    return None


def _jobs(number: int) -> str:
    return f"{counted(number, 'scheduled job')} {are(number)}"


def blackout(policy: Policy, timezone: str, now: datetime) -> str | None:
    """The window in which nothing shall happen, if it is now."""
    place = zone(timezone)
    return next((f"blackout from {window}" for window in policy.blackouts if window.holds(now, place)), None)


def type_at(policy: Policy, state: VmState) -> SnapshotType:
    """The type that is asked for; `auto` is what fits the VM as it is."""
    if policy.mode == "auto":
        return SnapshotType.HOT if state in ALIVE else SnapshotType.COLD
    return SnapshotType(policy.mode)


def _never(policy: Policy, timezone: str, moment: Moment, now: datetime) -> str | None:
    if moment.set_aside:
        return f"the VM is set aside: {moment.set_aside}"
    return blackout(policy, timezone, now) or _no_room(policy.guards, moment) or _unfit(policy, moment)


def _no_room(guards: Guards, moment: Moment) -> str | None:
    if moment.depth >= guards.max_depth:
        return (
            f"its volumes stand on {counted(moment.depth, 'layer')}, and the guard allows {guards.max_depth}"
        )
    if moment.free_bytes is not None and moment.free_bytes < guards.min_free_bytes:
        return f"{size(moment.free_bytes)} are free on its storage, and the guard wants {size(guards.min_free_bytes)}"
    if moment.free_percent is not None and moment.free_percent < guards.min_free_percent:
        free = f"{moment.free_percent:.1f} % are free on its storage"
        return f"{free}, and the guard wants {guards.min_free_percent:g} %"
    return None


def _unfit(policy: Policy, moment: Moment) -> str | None:
    if policy.guards.skip_while_merging and moment.merging:
        return f"a deletion of this VM is not over (job {moment.merging})"
    if policy.mode == "cold" and moment.state in ALIVE:
        return f"the VM is {moment.state}, and the policy takes cold snapshots"
    if policy.mode in {"hot", "memory"} and moment.state not in ALIVE:
        return f"the VM is {moment.state}, and the policy takes {policy.mode} snapshots"
    return None
