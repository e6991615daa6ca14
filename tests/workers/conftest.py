"""The lab's machine for tests on the real guest."""

from collections.abc import Iterator

import pytest

from hypervisor.libvirt_host import LibvirtHost
from lab import Lab


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A private libvirtd of this test process."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        lab.start(("libvirt",))
        yield lab
    finally:
        lab.remove()


@pytest.fixture
def host(machine: Lab) -> Iterator[LibvirtHost]:
    """A connection to it, of the test's own: some tests kill the daemon."""
    host = LibvirtHost(machine.libvirt_uri, "lab")
    yield host
    host.close()
