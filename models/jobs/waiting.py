"""Why an unfinished job does not go on at this moment: the first thing that would have to change, in words for people."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text

from models.base import AnyRow, Json, Sql, quoted
from models.jobs.line import ABSENT, GOES_FIRST, HOST_SILENT_S, ON_TWO
from models.jobs.tables import UNFINISHED
from stillframe.states import HELD, JobState

_STANDING = f"""
    SELECT job.id, job.state, job.worker, job.published_at, job.next_attempt_at, job.lease_until, job.vm_name,
        {ABSENT} AS absent, {ON_TWO} AS on_two, vm.seen_at, host.name AS host, host.last_seen_at,
        host.last_seen_at < now() - interval '{HOST_SILENT_S} s' AS silent,
        host.drained_at, host.drained_by, host.drain_reason,
        job.lease_until <= now() AS lapsed, job.next_attempt_at > now() AS later,
        first.id AS first_id, first.kind AS first_kind, first.state AS first_state, said.detail AS said
    FROM job JOIN vm ON vm.id = job.vm_id JOIN host ON host.id = job.host_id
    LEFT JOIN LATERAL (
        SELECT other.id, other.kind, other.state FROM job AS other WHERE {GOES_FIRST}
        ORDER BY other.state = 'queued', other.priority, other.created_at, other.id LIMIT 1
    ) AS first ON job.state = 'queued'
    LEFT JOIN LATERAL (
        SELECT event.data -> 'error' ->> 'detail' AS detail FROM event
        WHERE event.job_id = job.id
        AND event.type IN ('job.requeued', 'job.let_go', 'job.taken_over', 'job.recovered')
        ORDER BY event.id DESC LIMIT 1
    ) AS said ON job.next_attempt_at > now() OR job.worker IS NULL AND job.state IN ({quoted(HELD)})
    WHERE job.id = ANY(:jobs) AND job.state IN ({quoted(UNFINISHED)})
"""  # noqa: S608


def waiting(sql: Sql, jobs: Collection[UUID]) -> dict[UUID, Json]:
    """By job, `{code, detail}`; those that go on at this moment, or have ended, are not in it."""
    if not jobs:
        return {}
    statement = text(_STANDING).bindparams(bindparam("jobs", type_=ARRAY(Uuid())))
    rows = sql.execute(statement, {"jobs": list(jobs)}).all()
    return {row.id: found for row in rows if (found := _why(row)) is not None}


def _why(job: AnyRow) -> Json | None:
    if job.state in HELD and not job.lapsed and job.worker:
        return None
    reasons = {JobState.QUEUED.value: _QUEUED, JobState.STUCK.value: _STUCK}.get(job.state, _HELD)
    code, detail = next((code, words(job)) for code, holds, words in reasons if holds(job))
    return {"code": code, "detail": detail}


def _vm_gone(job: AnyRow) -> str:
    return f"VM {job.vm_name} is on no host: it was last seen on host {job.host} at {_at(job.seen_at)}"


def _on_two(job: AnyRow) -> str:
    return f"VM {job.vm_name} runs on host {job.host} and, under the same uuid, on another"


def _host_silent(job: AnyRow) -> str:
    return f"host {job.host} was last heard of at {_at(job.last_seen_at)}"


def _drained(job: AnyRow) -> str:
    reason = f" ({job.drain_reason})" if job.drain_reason else ""
    return f"host {job.host} was drained by {job.drained_by} at {_at(job.drained_at)}{reason}"


def _behind(job: AnyRow) -> str:
    return f"job {job.first_id} of the same VM goes first: {job.first_kind}, {job.first_state}"


def _later(job: AnyRow) -> str:
    return f"it is tried again at {_at(job.next_attempt_at)}: {job.said or 'something was in the way'}"


def _sent(job: AnyRow) -> str:
    return f"its message was sent to host {job.host} at {_at(job.published_at)}, and no worker is free yet"


def _left(job: AnyRow) -> str:
    return f"{_had_to_leave(job)}; it is taken up again after {_at(job.lease_until)}"


def _had_to_leave(job: AnyRow) -> str:
    return (
        f"its worker had to leave it ({job.said.rstrip('.')})" if job.said else "its worker had to leave it"
    )


def _let_lapse(job: AnyRow) -> str:
    left = f"worker {job.worker} fell silent" if job.worker else _had_to_leave(job)
    return f"{left}; since {_at(job.lease_until)} it waits to be taken over on host {job.host}"


_Reason = tuple[str, Callable[[AnyRow], Any], Callable[[AnyRow], str]]
#: In this order: what comes first holds up whatever comes later.
_NOWHERE: tuple[_Reason, ...] = (
    ("vm_gone", lambda job: job.absent, _vm_gone),
    ("vm_on_two_hosts", lambda job: job.on_two, _on_two),
    ("host_silent", lambda job: job.silent, _host_silent),
)
_QUEUED: tuple[_Reason, ...] = (
    *_NOWHERE,
    ("host_drained", lambda job: job.drained_at, _drained),
    ("behind_job", lambda job: job.first_id, _behind),
    ("tried_later", lambda job: job.later, _later),
    ("no_free_worker", lambda job: job.published_at, _sent),
    ("not_sent", lambda _: True, lambda _: "its message is not sent yet; the broker may be away"),
)
_HELD: tuple[_Reason, ...] = (
    *_NOWHERE,
    ("tried_later", lambda job: not job.lapsed, _left),
    ("lease_lapsed", lambda _: True, _let_lapse),
)
_STUCK: tuple[_Reason, ...] = (
    (
        "person",
        lambda _: True,
        lambda job: f"it is stuck: `stillframe job recover {job.id}` shows the ways out",
    ),
)


def _at(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
