"""Blackout windows by the wall clock."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from stillframe.errors import Invalid
from stillframe.policies.windows import Window, check_window

SEOUL = ZoneInfo("Asia/Seoul")
OFFICE = Window(begin="09:00", end="18:00", days=("mon", "tue", "wed", "thu", "fri"))
NIGHT = Window(begin="22:00", end="02:00", days=("fri",))
LATE = Window(begin="20:00", end="24:00")


@pytest.mark.parametrize(
    ("window", "at", "holds"),
    [
        (OFFICE, datetime(2026, 11, 23, 0, 0, tzinfo=UTC), True),
        (OFFICE, datetime(2026, 11, 23, 9, 0, tzinfo=UTC), False),
        (OFFICE, datetime(2026, 11, 22, 3, 0, tzinfo=UTC), False),
        (NIGHT, datetime(2026, 11, 27, 13, 0, tzinfo=UTC), True),
        (NIGHT, datetime(2026, 11, 27, 16, 59, tzinfo=UTC), True),
        (NIGHT, datetime(2026, 11, 27, 17, 0, tzinfo=UTC), False),
        (NIGHT, datetime(2026, 11, 26, 16, 0, tzinfo=UTC), False),
        (LATE, datetime(2026, 11, 23, 14, 59, tzinfo=UTC), True),
        (LATE, datetime(2026, 11, 23, 15, 0, tzinfo=UTC), False),
    ],
)
def test_a_window_holds_by_the_wall_of_its_place(window: Window, at: datetime, holds: bool) -> None:
    """Its begin counts, its end does not, and one over midnight belongs to the day it began."""
    assert window.holds(at, SEOUL) is holds


@pytest.mark.parametrize(
    "window",
    [
        Window(begin="9:00", end="18:00"),
        Window(begin="24:00", end="18:00"),
        Window(begin="09:00", end="25:00"),
        Window(begin="09:00", end="09:00"),
        Window(begin="09:00", end="18:00", days=("monday",)),
        Window(begin="09:00", end="18:00", days=()),
    ],
)
def test_what_is_no_window_is_refused(window: Window) -> None:
    """Clocks and days that are none are met when the policy is made."""
    with pytest.raises(Invalid, match="blackout"):
        check_window(window)
