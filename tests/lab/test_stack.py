"""The stack of `make up`, where something was lost between two starts."""

import json
import shutil
import urllib.request
from pathlib import Path

import pytest

from lab.stack import Stack


@pytest.mark.postgres
@pytest.mark.broker
@pytest.mark.slow
def test_a_key_that_the_database_does_not_know_is_made_anew(tmp_path: Path) -> None:
    """Whoever removes the database alone is let in after the next start."""
    stack = Stack(tmp_path)
    try:
        lost = stack.up(("api",))["KEY"]
        stack.down()
        shutil.rmtree(tmp_path / "lab" / "postgres")
        addresses = stack.up(("api",))
        assert stack.addresses()["KEY"] == addresses["KEY"] != lost
        request = urllib.request.Request(f"{addresses['URL']}/v1/me")
        request.add_header("Authorization", f"Bearer {addresses['KEY']}")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert json.load(answer)["role"] == "root"
    finally:
        stack.down()
        stack.lab.remove()
