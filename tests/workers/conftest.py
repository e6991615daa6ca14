"""The lab's machine for tests on the real guest, and the fake one with real rows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hypervisor.libvirt_host import LibvirtHost
from lab import Lab
from tests.workers.house import House


@pytest.fixture
def host(machine: Lab) -> Iterator[LibvirtHost]:
    """A connection to it, of the test's own: some tests kill the daemon."""
    host = LibvirtHost(machine.libvirt_uri, "lab")
    yield host
    host.close()


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    """A host of the fake machine with real rows."""
    return House(engine, tmp_path)
