"""One lab for the tests that do not harm it; its folder, like pytest's, lets no other user in."""

from collections.abc import Iterator

import pytest

from lab import Guest, Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with every part up."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        lab.start()
        yield lab
    finally:
        lab.remove()


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of the test's own, not started, to be harmed at will."""
    lab = Lab(tmp_path_factory.mktemp("other"))
    try:
        yield lab
    finally:
        lab.remove()


@pytest.fixture
def guest(lab: Lab) -> Iterator[Guest]:
    """A ticking guest with a qcow2 and a raw disk."""
    guest = lab.create_guest("plain", ("qcow2", "raw"))
    try:
        guest.wait_tick()
        yield guest
    finally:
        guest.remove()
