"""What is told of how far a job is."""

from workers.progress import Progress


def test_what_is_done_is_never_told_as_less() -> None:
    """A merge that is begun anew, or a total that grows, does not turn the bar back."""
    progress = Progress()
    progress.begin("commit")
    told = []
    for done, total in ((10, 100), (60, 100), (5, 100), (70, 60), (80, 120)):
        progress(done, total)
        told.append((progress.to_json() or {})["done"])
        assert told[-1] <= (progress.to_json() or {})["total"]
    assert told == sorted(told)


def test_a_step_that_counts_nothing_leaves_what_was_told() -> None:
    """Between two long steps of one job the bar stands; the next one that counts begins its own, with its own rate."""
    progress = Progress()
    progress.begin("commit")
    progress(50, 100)
    progress.begin("pivot")
    progress(0, 0)
    assert progress.to_json() is None
    progress.begin("commit")
    progress(60, 100)
    said = progress.to_json() or {}
    assert (said["done"], said["total"], said["rate"]) == (60, 100, 0)
