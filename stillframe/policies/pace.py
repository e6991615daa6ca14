"""Whether a schedule leaves its snapshots the time they take, as far as those before them tell.

One that no VM of the policy could keep is refused when the policy is made; one that some could not is made, and says
so. How often a schedule may fire at all is the schedule's own check.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stillframe.counting import counted
from stillframe.errors import PolicyTooFast
from stillframe.policies.durations import in_words, roughly
from stillframe.policies.policy import Policy
from stillframe.policies.schedule import Schedule

#: Of VMs that are too slow so many are named.
_NAMED = 3


@dataclass(frozen=True)
class Took:
    """What a VM's recent snapshots of the policy's type took, from their jobs' begin to their end; None: it has none."""

    vm: str
    host: str
    usual: timedelta | None


def check_pace(policy: Policy, took: Sequence[Took], now: datetime) -> None:
    """Raises PolicyTooFast for a schedule that fires again before the snapshot of any of its VMs is ready."""
    for schedule in policy.schedules:
        gap = schedule.shortest_gap(now)
        if gap is not None and took and all(one.usual is not None and one.usual > gap for one in took):
            quickest = min((one for one in took if one.usual), key=lambda one: one.usual or gap)
            raise PolicyTooFast(
                gap=in_words(gap), vm=quickest.vm, took=roughly(quickest.usual or gap), vms=len(took)
            )


def warnings(policy: Policy, took: Sequence[Took], now: datetime) -> list[str]:
    """What will not go as the schedules say, in sentences."""
    found: list[str] = []
    for schedule in policy.schedules:
        gap = schedule.shortest_gap(now)
        if gap is not None:
            found += [*_slow(schedule, gap, took), *_crowded(policy, gap, took)]
    return list(dict.fromkeys(found))


def _slow(schedule: Schedule, gap: timedelta, took: Sequence[Took]) -> list[str]:
    slow = [one for one in took if one.usual is not None and one.usual > gap]
    if not slow:
        return []
    named = ", ".join(f"{one.vm} ({roughly(one.usual or gap)})" for one in slow[:_NAMED])
    more = f" and {len(slow) - _NAMED} more" if len(slow) > _NAMED else ""
    what = "are skipped" if schedule.overlap == "skip" else "wait, and some are missed"
    return [
        f"it fires {in_words(gap)} after the last time, and the snapshots of {named}{more} take longer: "
        f"firings that come before the one before them is over {what}"
    ]


def _crowded(policy: Policy, gap: timedelta, took: Sequence[Took]) -> list[str]:
    """All VMs of a host, a few at a time, may need longer than there is, though each of them is quick."""
    hosts: dict[str, list[timedelta]] = defaultdict(list)
    for one in took:
        if one.usual is not None:
            hosts[one.host].append(one.usual)
    at_once = policy.guards.max_per_host
    found = []
    for host, each in sorted(hosts.items()):
        needs = sum(each, timedelta(0)) / at_once
        if len(each) > at_once and needs > gap:
            found.append(
                f"{counted(len(each), 'VM')} of host {host}, {at_once} at once, need about {roughly(needs)}, "
                f"and it fires {in_words(gap)} after the last time: some firings will be missed or skipped"
            )
    return found
