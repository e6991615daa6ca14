"""The diagrams of docs/states.md have the arrows of the tables in the code, no more and no fewer."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from stillframe.states import (
    JOB_MOVES,
    RESCAN_MOVES,
    SNAPSHOT_MOVES,
    STEP_MOVES,
    VOLUME_SNAPSHOT_MOVES,
    JobState,
    RescanState,
    SnapshotState,
    StepState,
    VolumeSnapshotState,
)

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "states.md").read_text()
ARROW = re.compile(r"^\s*(\S+) --> ([^\s:]+)(?:: .+)?$", re.M)
TABLES: dict[str, tuple[type[StrEnum], Mapping[Any, frozenset[StrEnum]]]] = {
    "A job": (JobState, JOB_MOVES),
    "A step": (StepState, STEP_MOVES),
    "A snapshot": (SnapshotState, SNAPSHOT_MOVES),
    "A volume snapshot": (VolumeSnapshotState, VOLUME_SNAPSHOT_MOVES),
    "A rescan": (RescanState, RESCAN_MOVES),
}


def section(head: str) -> str:
    found: str
    (found,) = re.findall(rf"^## {head}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    return found


def arrows(head: str) -> list[tuple[str, str]]:
    (diagram,) = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", section(head), re.S)
    assert len(ARROW.findall(diagram)) == len(diagram.strip().splitlines()), "a line that is no arrow"
    return ARROW.findall(diagram)


@pytest.mark.parametrize("head", TABLES)
def test_a_diagram_is_its_table(head: str) -> None:
    """Each move once; what has no way in begins, and what has no way on ends."""
    states, moves = TABLES[head]
    between = [arrow for arrow in arrows(head) if "[*]" not in arrow]
    assert len(between) == len(set(between))
    assert set(between) == {(old.value, new.value) for old, news in moves.items() for new in news}
    assert {old for old, _ in between} | {new for _, new in between} == {state.value for state in states}
    assert {old.value for old, news in moves.items() if not news} <= {
        old for old, new in arrows(head) if new == "[*]"
    }


@pytest.mark.parametrize("head", TABLES)
def test_each_move_has_its_who_and_when(head: str) -> None:
    """Every arrow is in the table below its diagram, where a row may hold several."""
    told: set[tuple[str, str]] = set()
    for line in section(head).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if len(cells) == 4 and cells[0] not in {"from", "---", ""}:
            for old in cells[0].split(", "):
                for new in [old] if cells[1] == "the same" else cells[1].split(", "):
                    told.add((old, new))
    assert told == {arrow for arrow in arrows(head) if "[*]" not in arrow}
