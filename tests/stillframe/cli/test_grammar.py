"""What is typed where a number or a length of time is meant."""

import argparse

import pytest

from stillframe.cli.grammar import count, seconds


@pytest.mark.parametrize(("text", "meant"), [("90", 90.0), ("90s", 90.0), ("15m", 900.0), ("2d", 172800.0)])
def test_lengths_of_time(text: str, meant: float) -> None:
    """Seconds, or a number with its unit."""
    assert seconds(text) == meant


@pytest.mark.parametrize("text", ["", "9x", "m", "0", "31d", "nan"])
def test_what_is_no_length_of_time(text: str) -> None:
    """Told with what was typed."""
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is (no time|out of range)"):
        seconds(text)


@pytest.mark.parametrize("text", ["x", "", "0", "-1", "1.5"])
def test_what_is_no_count(text: str) -> None:
    """The same for how many of a list are wanted."""
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is no number of 1 or more"):
        count(text)
