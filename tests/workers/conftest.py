"""The lab's machine for tests on the real guest."""

from collections.abc import Iterator

import pytest

from hypervisor.libvirt_host import LibvirtHost
from lab import Lab


@pytest.fixture
def host(machine: Lab) -> Iterator[LibvirtHost]:
    """A connection to it, of the test's own: some tests kill the daemon."""
    host = LibvirtHost(machine.libvirt_uri, "lab")
    yield host
    host.close()
