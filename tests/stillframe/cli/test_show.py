"""How things look."""

from typing import Any

import pytest

from stillframe.cli import show
from stillframe.cli.tree import drawn
from stillframe.cli.waiting import progress


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("스냅샷", 6), ("e\u0301", 1), ("ｗｉｄｅ", 8), ("", 0)]
)
def test_width_counts_columns_not_letters(text: str, columns: int) -> None:
    """Hangul and full-width letters take two columns, combining marks none."""
    assert show.width(text) == columns


def test_a_table_aligns_hangul(capsys: pytest.CaptureFixture[str]) -> None:
    """What comes after a Korean name begins in the same column in every row."""
    show.table(("NAME", "STATE"), [("업그레이드 전", "ready"), ("s1", "error")], "none")
    lines = capsys.readouterr().out.splitlines()

    assert [show.width(line[: line.rindex(" ")]) for line in lines] == [14, 14, 14]


def test_nothing_can_command_the_terminal() -> None:
    """Control characters are replaced, whoever wrote them."""
    assert show.plain("a\x1b[2Jb\nc\x07") == "a\ufffd[2Jb c\ufffd"


def test_an_empty_table_says_so_beside_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs that read stdout get nothing when there is nothing."""
    show.table(("NAME",), [], "No snapshots.")

    assert capsys.readouterr() == ("", "No snapshots.\n")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (200 * 2**20, "200 MiB"),
        (5 * 2**40, "5.0 TiB"),
        (None, "-"),
    ],
)
def test_sizes(count: int | None, text: str) -> None:
    """Sizes are in powers of 1024 with three digits that matter."""
    assert show.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")]
)
def test_spans(seconds: float, text: str) -> None:
    """Spans are in two units at most."""
    assert show.span(seconds) == text


def test_progress_shows_what_is_known() -> None:
    """Bytes, rate and time left, and nothing where nothing is known."""
    known = {"done": 512 * 2**20, "total": 2**30, "unit": "bytes", "rate": 2**28, "eta_s": 2.0}

    assert (
        progress({"progress": known, "state": "running"}) == " 50 %  512 MiB of 1.0 GiB  256 MiB/s  2 s left"
    )
    assert progress({"progress": None, "state": "running"}) == ""
    assert progress({"progress": known, "state": "succeeded"}) == ""


def one(id_: str, parent: str | None, *, current: bool = False, display: str = "") -> dict[str, Any]:
    """A snapshot of a list, as far as the tree looks at it."""
    return {
        "id": id_,
        "name": id_,
        "display_name": display or id_,
        "parent_id": parent,
        "current": current,
        "type": "hot",
        "state": "ready",
        "created_at": None,
        "size_bytes": 0,
    }


def test_the_tree_marks_where_the_vm_stands() -> None:
    """Branches are drawn under what they grew out of, and the current snapshot says "you are here"."""
    snapshots = [
        one("s1", None),
        one("s2", "s1"),
        one("s3", "s2"),
        one("s4", "s2", current=True, display="밤"),
    ]
    lines = list(drawn({"name": "web1", "state": "running"}, snapshots))

    assert [line.split("  hot")[0].rstrip() for line in lines] == [
        "web1 (running)",
        "└─ s1",
        "   └─ s2",
        "      ├─ s3",
        "      └─ s4 (밤)",
    ]
    assert [line.endswith("<- you are here") for line in lines] == [False, False, False, False, True]
    assert len({show.width(line[: line.index("hot")]) for line in lines[1:]}) == 1


def test_the_tree_marks_what_stays_and_what_goes() -> None:
    """One that is held says so, one whose time is known says when."""
    held, going = one("s1", None) | {"held": True}, one("s2", "s1", current=True)
    going["expires_at"] = "2026-12-01T08:00:00Z"
    _, first, second = drawn({"name": "web1", "state": "running"}, [held, going])
    assert first.endswith("  held")
    assert second.endswith(f"  expires {show.time('2026-12-01T08:00:00Z')}  <- you are here")


def test_a_tree_of_a_thousand_is_drawn() -> None:
    """A long chain is no trouble, and a parent that is gone makes a root."""
    chain = [one(f"s{number}", f"s{number - 1}") for number in range(1500)]

    assert len(list(drawn({"name": "web1", "state": "off"}, chain))) == 1502


def test_several_deletions_are_called_what_was_asked_for() -> None:
    """A person deletes, a policy prunes; both words find such jobs."""
    assert show.kind({"kind": "prune_snapshots", "requested_by": "admin"}) == "delete_snapshots"
    assert show.kind({"kind": "prune_snapshots", "requested_by": "policy:nightly"}) == "prune_snapshots"
    assert show.kind({"kind": "revert_snapshot", "requested_by": "admin"}) == "revert_snapshot"
    assert {show.kind_asked("delete_snapshots"), show.kind_asked("prune_snapshots")} == {"prune_snapshots"}
