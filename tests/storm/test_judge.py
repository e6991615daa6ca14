"""The judge of storms, given evidence that is wrong in one thing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stillframe.states import JobState
from tests.storm.crowd import Request
from tests.storm.judge import Evidence, Ran, faults

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Change = Callable[[Evidence], Evidence]


def right() -> Evidence:
    """Three snapshots of one VM and one of another; the first was deleted, a fifth was refused, one that failed."""
    asked, jobs, events = [], [], {}
    for number, (vm, kind, state) in enumerate(
        [
            ("a", "create_snapshot", "succeeded"),
            ("a", "create_snapshot", "succeeded"),
            ("b", "create_snapshot", "succeeded"),
            ("a", "delete_snapshot", "succeeded"),
            ("a", "create_snapshot", "failed"),
        ]
    ):
        job, at = f"job{number}", NOW + timedelta(seconds=10 * number)
        asked.append(
            Request(
                "/", None, f"key{number}", at.timestamp() - 5, at.timestamp() - 4, {job}, ["quota.exceeded"]
            )
        )
        jobs.append(Ran(job, f"key{number}", kind, vm, state, at, at + timedelta(seconds=9)))
        made = {"create_snapshot": "snapshot.ready", "delete_snapshot": "snapshot.deleted"}[kind]
        outcome = made if state == "succeeded" else "snapshot.failed"
        events[job] = ["job.queued", "job.started", "step.started", f"job.{state}", outcome]
    asked.append(Request("/", None, "refused", 0, float("inf"), set(), ["quota.exceeded"]))
    return Evidence(asked, jobs, events, quota=3, most=3)


def of_job(number: int, **facts: Any) -> Change:
    """That job's row says something else."""

    def change(found: Evidence) -> Evidence:
        jobs = [replace(job, **facts) if job.id == f"job{number}" else job for job in found.jobs]
        return replace(found, jobs=jobs)

    return change


def of_request(key: str, **facts: Any) -> Change:
    """That request was answered otherwise."""

    def change(found: Evidence) -> Evidence:
        return replace(found, asked=[replace(one, **facts) if one.key == key else one for one in found.asked])

    return change


def without_event(number: int, event: str) -> Change:
    """That event of a job was lost."""

    def change(found: Evidence) -> Evidence:
        left = [one for one in found.events[f"job{number}"] if one != event]
        return replace(found, events={**found.events, f"job{number}": left})

    return change


def twice(number: int, event: str) -> Change:
    """That event of a job is there twice."""

    def change(found: Evidence) -> Evidence:
        return replace(found, events={**found.events, f"job{number}": [*found.events[f"job{number}"], event]})

    return change


def doubled(found: Evidence) -> Evidence:
    """Two jobs of one key, of which the client saw the first."""
    later = NOW + timedelta(seconds=100)
    more = replace(found.jobs[2], id="again", started_at=later, finished_at=later)
    return replace(found, jobs=[*found.jobs, more], events={**found.events, "again": found.events["job2"]})


def lost(found: Evidence) -> Evidence:
    """A job that a client was promised has no row."""
    return replace(found, jobs=found.jobs[1:])


def swapped(found: Evidence) -> Evidence:
    """The VM's first job runs behind its last."""
    late = NOW + timedelta(seconds=60)
    return of_job(0, started_at=late, finished_at=late)(found)


def test_what_is_right_is_right() -> None:
    """Nothing is found where nothing is wrong."""
    assert faults(right()) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (doubled, "2 jobs of the key key2"),
        (of_request("key2", jobs={"job2", "again"}), "several jobs"),
        (of_job(1, idempotency_key="else"), "nobody asked for job job1"),
        (of_request("key1", jobs=set()), "nobody was told of job job1"),
        (lost, "job0 was promised and is not there"),
        (of_request("refused", refusals=[]), "refused was not answered"),
        (of_request("refused", refusals=["host.not_found"]), "refused with ['host.not_found']"),
        (of_request("key1", strange=["500 broken"]), "500 broken"),
        (of_job(1, state=JobState.QUEUED, started_at=None, finished_at=None), "job1 is queued"),
        (of_job(1, state=JobState.STUCK), "job1 is stuck"),
        (lambda found: replace(found, most=4), "4 snapshots at once, and 3 are allowed"),
        (lambda found: replace(found, most=2), "not reached"),
        (of_job(1, finished_at=NOW + timedelta(seconds=31)), "job3 began while job1 was going on"),
        (swapped, "job0 was sure before job4 was asked for"),
        (without_event(0, "job.queued"), "job0 has 0 events job.queued"),
        (without_event(0, "job.started"), "job0 has 0 events job.started"),
        (without_event(3, "job.succeeded"), "job3 has 0 events job.succeeded"),
        (without_event(0, "snapshot.ready"), "job0 has 0 events snapshot.ready"),
        (without_event(3, "snapshot.deleted"), "job3 has 0 events snapshot.deleted"),
        (without_event(4, "snapshot.failed"), "job4 has 0 events snapshot.failed"),
        (twice(1, "job.succeeded"), "job1 has 2 events job.succeeded"),
        (twice(1, "job.failed"), "job1 is succeeded and has an event job.failed"),
    ],
)
def test_what_is_wrong_is_told(change: Change, word: str) -> None:
    """Each thing that can go wrong in a storm is found, by itself and in words."""
    assert word in "\n".join(faults(change(right())))


def test_a_storm_in_which_nothing_was_refused_proves_nothing_of_the_quota() -> None:
    """A quota that nobody came up against may not be there."""
    found = right()
    nobody = [replace(one, refusals=[]) for one in found.asked if one.key != "refused"]
    assert "this proves nothing" in "\n".join(faults(replace(found, asked=nobody)))
