"""What docs/operations.md tells a person to type and to look for is there."""

import re
import shlex
from pathlib import Path

import pytest

from stillframe import errors
from stillframe.cli.parser import parse
from stillframe.events import EventType
from stillframe.findings import Kind
from stillframe.settings import Settings, variable

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S)
TYPED = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
INLINE = [" ".join(span.split()) for span in re.findall(r"`(stillframe [^`]+)`", PAGE)]
COMMANDS = sorted({line for line in (*TYPED, *INLINE) if line.startswith("stillframe ")})
CODES = {
    one.code
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, errors.StillframeError)
}


def test_every_line_of_a_block_is_a_command() -> None:
    """The check is not passed by writing commands in another way."""
    assert len(COMMANDS) > 20
    assert all(line.startswith("stillframe ") for line in TYPED if line)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_can_be_typed(command: str) -> None:
    """It parses as it stands, capitals taken for names."""
    assert parse(shlex.split(command)[1:]).command


@pytest.mark.parametrize("word", sorted(set(re.findall(r"`([a-z]+\.[a-z_]+)`", PAGE))))
def test_a_code_event_or_finding_is_one(word: str) -> None:
    """Whoever searches for what they see finds it."""
    assert word in CODES | {event.value for event in EventType} | {kind.value for kind in Kind}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"STILLFRAME_[A-Z_]+", PAGE))))
def test_a_setting_is_one(name: str) -> None:
    """By the variable that sets it."""
    assert name in {variable(one) for one in Settings.__dataclass_fields__}


def test_every_reason_to_wait_is_explained() -> None:
    """All codes of `waiting`, in the table."""
    source = (Path(__file__).resolve().parents[2] / "models" / "jobs" / "waiting.py").read_text()
    codes = set(re.findall(r'^\s*\(?\(?"([a-z_]+)", lambda', source, re.M)) | {"lease_lapsed", "person"}
    assert len(codes) >= 9
    assert codes <= set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.M))
