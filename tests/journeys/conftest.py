"""One running stack a process for all journeys; each test finds it whole, and takes its guests away again."""

import os
import signal
import uuid
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from lab.places import free_port
from lab.stack import Stack
from tests.journeys.command import Cli
from tests.journeys.site import PROGRAMS, Site
from tests.journeys.witness import Witness

FIGURE = "figure"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every journey needs the whole machine."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            for need in (pytest.mark.qemu, pytest.mark.postgres, pytest.mark.broker):
                item.add_marker(need)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was measured on the way."""
    reports = [one for group in ("passed", "failed") for one in terminalreporter.stats.get(group, [])]
    figures = sorted(str(value) for one in reports for name, value in one.user_properties if name == FIGURE)
    for figure in figures:
        terminalreporter.write_line(f"measured: {figure}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A journey that failed shows what the programs said meanwhile."""
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if isinstance(site, Site) and report.when == "call" and report.failed:
        report.sections += [(f"{name} said", site.said(name)) for name in PROGRAMS]
    return report


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The programs as they run in the field, on a lab and a host of this process's own."""
    var = tmp_path_factory.mktemp("journeys")
    # Two stacks that start at once would both find the usual port free.
    (var / "stack.env").write_text(f"STILLFRAME_LISTEN=127.0.0.1:{free_port()}\n")
    stack = Stack(var, f"journey-{uuid.uuid4().hex[:8]}")
    try:
        stack.up(PROGRAMS)
        yield stack
    finally:
        for name in PROGRAMS:
            stack.stop(name, signal.SIGKILL)
        stack.lab.remove()


@pytest.fixture(scope="session")
def shared_site(stack: Stack) -> Iterator[Site]:
    site = Site(stack)
    yield site
    site.close()


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """The running stack, whole."""
    shared_site.mend()
    shared_site.listen()
    try:
        yield shared_site
    finally:
        shared_site.mend()
        shared_site.remove_guests()


@pytest.fixture
def witness(site: Site) -> Callable[..., Witness]:
    """A running guest as the test wants it, which the API knows."""

    def made(*disks: str, **wants: Any) -> Witness:
        guest = site.guest(*disks, **wants)
        if wants.get("start", True):
            guest.wait_tick(timeout_s=60)
        site.seen(guest)
        return Witness(site, guest)

    return made


@pytest.fixture
def cli(site: Site) -> Cli:
    """The command line."""
    return Cli(site)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Takes a figure down for the end of the run."""
    return lambda what, seconds: record_property(FIGURE, f"{what}: {seconds:.2f} s")
