"""One API and one in-process Producer on the same rows."""

from collections.abc import Iterator

import pytest

from tests.contracts.asking.doors import Door, InProcess, opened
from tests.web.conftest import Api, api, name, world

__all__ = ["api", "name", "world"]


@pytest.fixture(params=["in process", "threads", "event loop"])
def door(request: pytest.FixtureRequest, api: Api) -> Iterator[Door]:
    """One way in."""
    with opened(request.param, api) as door:
        yield door


@pytest.fixture
def inside(api: Api) -> Iterator[Door]:
    """The way in that the others are measured by."""
    door = InProcess(api)
    yield door
    door.producer.publisher.close()
