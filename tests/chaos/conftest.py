"""The site of the journeys, for tests that hurt it."""

import os

import pytest

from tests.journeys.conftest import (  # noqa: F401
    measured,
    pytest_runtest_makereport,
    pytest_terminal_summary,
    shared_site,
    site,
    stack,
    witness,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each of these needs the whole machine, but for those that only count."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here) and "site" in getattr(item, "fixturenames", ()):
            for need in (pytest.mark.qemu, pytest.mark.postgres, pytest.mark.broker):
                item.add_marker(need)
