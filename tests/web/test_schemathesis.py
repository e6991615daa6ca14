"""The running API against its own OpenAPI document, by schemathesis: all checks, also over chains of requests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.lab import Lab
from tests.web.conftest import Api, served
from tests.world import World

#: `make check` puts it there: in an environment of its own, whose packages are none of ours.
OWN = Path(__file__).resolve().parents[2] / "var" / "schemathesis" / "bin"
SCHEMATHESIS = shutil.which("schemathesis", path=f"{OWN}{os.pathsep}{os.environ.get('PATH', '')}")
CONFIG = Path(__file__).with_name("schemathesis.toml")

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is not installed"),
]


@pytest.fixture
def api(stores: Lab) -> Iterator[Api]:
    """A server of its own: what may be said to one is said, also that its accounts may have nothing more."""
    with served(stores) as api:
        yield api


def test_no_answer_is_undocumented_and_none_is_a_failure(api: Api, tmp_path: Path) -> None:
    """Whatever fits the document or breaks it, with and without a key, in any order: never a 5xx, never a surprise."""
    world = World(api.engine)
    for name in ("web1", "web2", "web3"):
        vm = world.vm(name, host="hv1")
        world.snapshot(vm, "s1")
        world.job(vm)
    ended = subprocess.run(
        [
            *(str(SCHEMATHESIS), "--config-file", str(CONFIG), "run", f"{api.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {api.key}", "--checks", "all"),
            *("--max-examples", os.environ.get("EXAMPLES", "6"), "--request-timeout", "90", "--no-color"),
            # Long polls and pings wait on purpose: side by side.
            *("--workers", "6"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:]
