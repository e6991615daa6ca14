"""What a policy asks for that comes to a standstill, or to nothing, in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from stillframe.counting import are, counted
from stillframe.policies.depth import most_kept
from stillframe.policies.policy import Policy

#: Of several VMs so many are named.
_NAMED = 3


@dataclass(frozen=True)
class Deepest:
    """The VM whose volumes stand on the most layers that are not this policy's."""

    vm: str
    layers: int


def dead_ends(policy: Policy, alive: Sequence[str], deepest: Deepest | None, now: datetime) -> list[str]:
    """`alive` are the names of its VMs that run or are paused at this moment."""
    return [*_never_prunes(policy), *_never_cold(policy, alive), *_too_deep(policy, deepest, now)]


def _too_deep(policy: Policy, deepest: Deepest | None, now: datetime) -> list[str]:
    if deepest is None or deepest.layers < 1:
        return []
    left = policy.guards.max_depth - deepest.layers
    if left > 0 and most_kept(policy.retention, policy.schedules, now, left) < left:
        return []
    return [
        f"the volumes of {deepest.vm} stand on {counted(deepest.layers, 'layer')} that {are(deepest.layers)} not its own: with "
        f"what it keeps that comes to the {policy.guards.max_depth} of its guard `max_depth`, and it stops there for this VM"
    ]


def _never_prunes(policy: Policy) -> list[str]:
    if not policy.retention.keeps_all:
        return []
    most = policy.guards.max_depth
    return [
        f"it keeps everything, and its guard `max_depth` stops it at {counted(most, 'layer')}: "
        f"after about {counted(most, 'snapshot')} of a VM it stops there for good, unless somebody deletes some; "
        "say what to keep, such as last=3,daily=7"
    ]


def _never_cold(policy: Policy, alive: Sequence[str]) -> list[str]:
    if policy.mode != "cold" or not alive:
        return []
    named = ", ".join(alive[:_NAMED])
    more = f" and {len(alive) - _NAMED} more" if len(alive) > _NAMED else ""
    return [
        f"it takes cold snapshots, and {named}{more} {are(len(alive))} not off now: a VM is skipped "
        "unless it is off when its turn comes; mode auto takes what fits"
    ]
