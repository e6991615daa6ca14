"""What the clients of a storm were answered, against what the rows say afterwards."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from stillframe.events import EventType
from stillframe.operations import CreateSnapshot
from stillframe.states import JobState
from tests.storm.crowd import Request

#: How far two clocks of one machine, Postgres' and ours, may be apart. Seconds.
ASIDE_S = 0.005
#: What a crowd has to expect that asks for more than it may have, and deletes what perhaps failed.
REFUSALS = frozenset({"quota.exceeded", "snapshot.not_ready"})
_ENDS = {JobState.SUCCEEDED: EventType.JOB_SUCCEEDED, JobState.FAILED: EventType.JOB_FAILED}


@dataclass(frozen=True)
class Ran:
    """A job's row when all is over."""

    id: str
    idempotency_key: str
    kind: str
    vm: str
    state: str
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class Evidence:
    """All that is known of a storm. `events` are the types of each job's, in order; `most` is what counted at once."""

    asked: Sequence[Request]
    jobs: Sequence[Ran]
    events: Mapping[str, Sequence[str]]
    quota: int
    most: int
    by_key: Mapping[str, Request] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_key", {request.key: request for request in self.asked})


def faults(found: Evidence) -> list[str]:
    """Everything that is not as it was promised, in words; none is as it should be."""
    return [*_answers(found), *_one_job_a_key(found), *_quota(found), *_ends(found), *_order(found)]


def _answers(found: Evidence) -> Iterator[str]:
    for request in found.asked:
        yield from (f"a strange answer to {request.key}: {answer}" for answer in request.strange)
        if len(request.jobs) > 1:
            yield f"{request.key} was answered with several jobs: {sorted(request.jobs)}"
        if not request.jobs and not request.refusals and not request.strange:
            yield f"{request.key} was not answered"
        if strange := set(request.refusals) - REFUSALS:
            yield f"{request.key} was refused with {sorted(strange)}"


def _one_job_a_key(found: Evidence) -> Iterator[str]:
    of_key = Counter(job.idempotency_key for job in found.jobs)
    yield from (f"{count} jobs of the key {key}" for key, count in of_key.items() if count > 1)
    for job in found.jobs:
        request = found.by_key.get(job.idempotency_key)
        if request is None:
            yield f"nobody asked for job {job.id}"
        elif job.id not in request.jobs:
            yield f"nobody was told of job {job.id}"
    there = {job.id for job in found.jobs}
    for request in found.asked:
        yield from (f"job {id_} was promised and is not there" for id_ in sorted(request.jobs - there))


def _quota(found: Evidence) -> Iterator[str]:
    if found.most > found.quota:
        yield f"{found.most} snapshots at once, and {found.quota} are allowed"
    refused = any("quota.exceeded" in request.refusals for request in found.asked)
    if not refused or found.most < found.quota:
        yield f"the quota was not reached: {found.most} of {found.quota} at once; this proves nothing of it"


def _ends(found: Evidence) -> Iterator[str]:
    """Each job has ended, and of each the events tell once that it was asked for and how it ended."""
    for job in found.jobs:
        if job.state not in _ENDS or job.finished_at is None:
            yield f"job {job.id} is {job.state}"
            continue
        told = Counter(found.events.get(job.id, ()))
        needed = {EventType.JOB_QUEUED, _ENDS[JobState(job.state)]}
        if job.started_at:
            needed |= {EventType.JOB_STARTED, _outcome(job)}
        for event in sorted(needed):
            # Who was taken away from its job by a database that went away begins it again.
            if told[event] != 1 and not (told[event] and event is EventType.JOB_STARTED):
                yield f"job {job.id} has {told[event]} events {event}"
        for event in set(_ENDS.values()) - needed:
            if told[event]:
                yield f"job {job.id} is {job.state} and has an event {event}"


def _outcome(job: Ran) -> EventType:
    if job.state == JobState.FAILED:
        return EventType.JOB_FAILED if job.kind != CreateSnapshot.kind else EventType.SNAPSHOT_FAILED
    return EventType.SNAPSHOT_READY if job.kind == CreateSnapshot.kind else EventType.SNAPSHOT_DELETED


def _order(found: Evidence) -> Iterator[str]:
    """Of a VM one job at a time, and none before one that was sure before it was asked for."""
    of_vm: dict[str, list[tuple[datetime, datetime, Ran]]] = defaultdict(list)
    for job in found.jobs:
        if job.started_at and job.finished_at:
            of_vm[job.vm].append((job.started_at, job.finished_at, job))
    for ran in of_vm.values():
        ran.sort(key=lambda one: (one[0], one[1]))
        for (_, ended, before), (began, _, after) in pairwise(ran):
            if ended > began:
                yield f"{after.id} began while {before.id} was going on"
        yield from _out_of_turn(found, [job for *_, job in ran])


def _out_of_turn(found: Evidence, ran: list[Ran]) -> Iterator[str]:
    """`ran` as they ran: compared with all that ran earlier, not only with the one before."""
    last_asked, last = float("-inf"), ""
    for job in ran:
        request = found.by_key.get(job.idempotency_key)
        if request is None:
            continue
        if request.sure + ASIDE_S <= last_asked:
            yield f"{job.id} was sure before {last} was asked for, and ran after it"
        if request.began > last_asked:
            last_asked, last = request.began, job.id
