"""The ways out of `stuck`, as they are shown and as they are refused."""

from dataclasses import replace
from itertools import product
from uuid import UUID

import pytest

from stillframe.errors import JobNotStuck, RollbackTooLate, StillframeError
from stillframe.operations import OPERATIONS
from stillframe.recovering import Standing, Way, check, ways
from stillframe.states import JobState

STUCK = Standing(
    job=UUID(int=7),
    kind="delete_snapshot",
    state=JobState.STUCK,
    was=JobState.RUNNING,
    phase="pivot:vda:0",
    no_return=False,
    host="h1",
)


def refusal(way: Way, job: Standing) -> StillframeError | None:
    """What a way is refused with, if it is."""
    try:
        check(way, job)
    except StillframeError as refused:
        return refused
    return None


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("state", list(JobState))
def test_what_is_shown_is_what_would_happen(way: Way, state: JobState) -> None:
    """A way is shown as open exactly when it would not be refused, and in the same words."""
    for no_return, was in product((False, True), (JobState.RUNNING, JobState.UNDOING)):
        job = replace(STUCK, state=state, no_return=no_return, was=was)
        refused, shown = refusal(way, job), ways(job)[way]
        assert shown["allowed"] is (refused is None)
        assert (shown["reason"] or "").startswith(refused.detail if refused else "")
        assert isinstance(refused, JobNotStuck) is (state is not JobState.STUCK)


def test_what_can_only_go_forward_is_not_walked_back() -> None:
    """Past the point of no return a rollback is refused, and the refusal names the two other ways."""
    refused = refusal(Way.ROLLBACK, replace(STUCK, no_return=True))
    assert isinstance(refused, RollbackTooLate)
    assert "pivot:vda:0" in refused.detail
    assert "--resume" in refused.to_json()["remedy"]
    assert "--mark-done" in refused.to_json()["remedy"]


@pytest.mark.parametrize("kind", sorted(OPERATIONS))
def test_each_way_says_what_comes_of_it(kind: str) -> None:
    """For every kind of job, in either direction, with a host that lives and one that is silent; no blank is left open."""
    for unseen, was in product((None, "host h1 is silent"), (JobState.RUNNING, JobState.UNDOING)):
        job = replace(STUCK, kind=kind, unseen=unseen, was=was)
        said = {name: way["what_happens"] for name, way in ways(job).items()}
        assert not any("{" in words for words in said.values())
        assert ("walks back" in said["resume"]) is (was is JobState.UNDOING)
        assert "walks back" in said["rollback"]
        assert all((unseen in words) for words in said.values() if unseen)
        assert ("nobody looks" in said["mark_done"]) is (unseen is not None)


def test_a_job_that_nobody_can_hold_can_be_closed() -> None:
    """Its VM is on no host: it goes on by itself if that is seen again, and otherwise only a person can end it."""
    job = replace(STUCK, state=JobState.RUNNING, adrift=True, unseen="its VM is on no host that is known")
    assert [way for way in Way if refusal(way, job) is None] == [Way.MARK_DONE]
