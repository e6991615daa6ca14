"""A policy: which VMs are snapshotted when, how, under which conditions, and what is kept of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from stillframe.counting import counted
from stillframe.errors import Invalid
from stillframe.names import TARGET, check_name
from stillframe.operations import Quiesce
from stillframe.policies.depth import most_kept
from stillframe.policies.retention import Retention, check_retention
from stillframe.policies.schedule import Schedule, check_schedule
from stillframe.policies.windows import Window, check_window

#: `auto` takes what fits the VM at that moment: hot when it runs, cold when it is off.
Mode = Literal["auto", "hot", "cold", "memory"]
Priority = Literal["normal", "low"]

MOST_SCHEDULES = 16
MOST_IDS = 1000


@dataclass(frozen=True, kw_only=True)
class Selector:
    """Which VMs. Of each kind that is given one has to match, and all kinds that are given have to.

    `names` are patterns with * and ?; `domain` means its whole subtree.
    """

    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    account: str | None = None
    domain: str | None = None
    host: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing, and would mean every VM there is."""
        return not (self.ids or self.names or self.tags or self.account or self.domain or self.host)


@dataclass(frozen=True, kw_only=True)
class Guards:
    """Conditions under which a firing is skipped, with its row, or waits its turn."""

    #: Layers under a volume from which on nothing is added.
    max_depth: int = 16
    min_free_bytes: int = 1 << 30
    min_free_percent: float = 5.0
    #: While a deletion of this VM is not over, another layer would only make it longer.
    skip_while_merging: bool = True
    #: Scheduled jobs under way at once.
    max_per_host: int = 2
    max_per_storage: int = 2


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Volumes that are made standalone images after each snapshot, and how many of each VM's are kept."""

    targets: tuple[str, ...]
    retention: Retention


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is asked for. Its state (next firing, failures, suspension) is in its row."""

    name: str
    selector: Selector
    schedules: tuple[Schedule, ...]
    retention: Retention
    mode: Mode = "auto"
    quiesce: Quiesce = "prefer"
    #: Of its snapshots and images. Either comes after what people ask for; low also after every other policy.
    priority: Priority = "normal"
    guards: Guards = Guards()
    blackouts: tuple[Window, ...] = ()
    extract: Extract | None = None
    tags: tuple[str, ...] = ()
    enabled: bool = True
    paused_until: datetime | None = None
    #: Snapshots of one VM that may fail one after the other before it is set aside. With all its VMs set aside, the policy
    #: suspends itself.
    max_failures: int = 4
    #: A snapshot job that has not begun by then is given up.
    start_within: timedelta = timedelta(hours=1)


def check_policy(policy: Policy, now: datetime) -> None:
    """Raises Invalid with what is wrong and what to write instead."""
    check_name(policy.name, "policy")
    if policy.selector.is_empty:
        raise Invalid(detail='the selector is empty; to mean every VM, write {"names": ["*"]}')
    if len(policy.selector.ids) > MOST_IDS:
        raise Invalid(
            detail=f"{len(policy.selector.ids)} ids in the selector, and {MOST_IDS} are allowed; use tags"
        )
    if not 1 <= len(policy.schedules) <= MOST_SCHEDULES:
        raise Invalid(
            detail=f"a policy has 1 to {MOST_SCHEDULES} schedules, and this has {len(policy.schedules)}"
        )
    for schedule in policy.schedules:
        check_schedule(schedule, now)
    for window in policy.blackouts:
        check_window(window)
    check_retention(policy.retention)
    if policy.extract:
        _check_extract(policy.extract)
    _check_guards(policy)
    _check_depth(policy, now)


def _check_extract(extract: Extract) -> None:
    check_retention(extract.retention)
    if not extract.targets:
        raise Invalid(detail="`extract` names no target; write those of the volumes, such as vda")
    for target in extract.targets:
        if not TARGET.fullmatch(target):
            raise Invalid(detail=f"`extract` names {target!r}, and volumes are called vda, sdb and the like")
        if extract.targets.count(target) > 1:
            raise Invalid(detail=f"`extract` names {target} twice")


def _check_guards(policy: Policy) -> None:
    guards = policy.guards
    for name, least, most in (
        ("max_depth", 2, 200),
        ("max_per_host", 1, 1000),
        ("max_per_storage", 1, 1000),
        ("min_free_percent", 0, 99),
    ):
        if not least <= getattr(guards, name) <= most:
            raise Invalid(detail=f"guard `{name}` is {getattr(guards, name)}; it may be {least} to {most}")
    if not 1 <= policy.max_failures <= 1000:
        raise Invalid(detail=f"`max_failures` is {policy.max_failures}; it may be 1 to 1000")


def _check_depth(policy: Policy, now: datetime) -> None:
    most = policy.guards.max_depth
    if most_kept(policy.retention, policy.schedules, now, most) >= most:
        raise Invalid(
            detail=f"the policy comes to keep {counted(most, 'snapshot')} of a VM or more, and its guard `max_depth` stops it "
            f"at {counted(most, 'layer')}: it would stop for good; keep fewer, or raise the guard"
        )
