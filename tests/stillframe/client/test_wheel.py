"""What another service gets that installs Stillframe: one import name, one dependency, no part of the service."""

import json
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
#: What httpx itself needs, as it is installed here: the empty environment is given nothing else.
HTTPX = ("httpx", "httpcore", "h11", "anyio", "certifi", "idna", "typing_extensions.py")
PROBE = """
import json, sys, time
began = time.perf_counter()
import stillframe
words = time.perf_counter() - began
stillframe.Producer, stillframe.AsyncProducer
named = time.perf_counter() - began
before_http = "httpx" in sys.modules
producer = stillframe.Producer("http://127.0.0.1:1", "key", patience_s=0)
try:
    producer.vms()
except stillframe.errors.StillframeError as error:
    code = error.code
tops = {name.split(".")[0] for name in sys.modules}
print(json.dumps({"tops": sorted(tops), "words": words, "named": named, "http": before_http, "code": code}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it would be published."""
    pytest.importorskip("hatchling", reason="built without network only where the build backend is installed")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (found,) = folder.glob("*.whl")
    return found


def test_it_depends_on_httpx_only(wheel: Path) -> None:
    """All else is in extras, which another service does not ask for."""
    with zipfile.ZipFile(wheel) as files:
        (name,) = (one for one in files.namelist() if one.endswith("/METADATA"))
        metadata = Parser().parsestr(files.read(name).decode())
    plain = [one for one in metadata.get_all("Requires-Dist") or () if "extra ==" not in one]
    assert [one.split("<")[0].split(">")[0] for one in plain] == ["httpx"]


def test_it_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed without network: a Producer is made and asks; nothing of the service is there or is missed."""
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = (tmp_path / "env").glob("lib/*/site-packages")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(site)
    (here,) = {
        Path(one) for one in sys.path if one.endswith("site-packages") and (Path(one) / "httpx").exists()
    }
    for name in HTTPX:
        (site / name).symlink_to(here / name)

    said = subprocess.run(
        [tmp_path / "env" / "bin" / "python", "-I", "-c", PROBE],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    found = json.loads(said.stdout)
    assert found["code"] == "api.unreachable"
    assert found["http"] is False
    ours = {"stillframe", "tasks", "models", "workers", "web", "hypervisor", "beat_schedule", "lab"}
    assert set(found["tops"]) & ours == {"stillframe"}
    assert not set(found["tops"]) & {
        "celery",
        "sqlalchemy",
        "libvirt",
        "cronsim",
        "pydantic",
        "psycopg",
        "fastapi",
    }
    assert {one.name for one in site.iterdir() if not one.name.endswith(".dist-info")} == {
        *HTTPX,
        "stillframe",
    }
