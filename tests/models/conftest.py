"""The journal on the test's database."""

import pytest
from sqlalchemy import Engine

from models.jobs.journal import Journal


@pytest.fixture
def journal(engine: Engine) -> Journal:
    return Journal(engine)
