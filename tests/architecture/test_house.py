"""What the import rules cannot say of the house themselves."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Folders that are no part of the running application.
BESIDE = {"tests", "lab", "bench", "made"}


def _packages() -> set[str]:
    return {path.parent.name for path in ROOT.glob("*/__init__.py")} - BESIDE


def _sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_package_is_under_the_import_rule() -> None:
    """A new top-level package cannot stay outside the layers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["importlinter"]["root_packages"]) == _packages()


@pytest.mark.parametrize("module", ["beat_schedule", "tasks.producer", "web.app"])
def test_a_submitting_process_never_loads_libvirt(module: str) -> None:
    """Beat, Producer and API start where libvirt is not installed."""
    code = f"import {module}, sys; print(sorted({{'libvirt', 'workers', 'hypervisor'}} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_wheel_holds_one_name(tmp_path: Path) -> None:
    """Installed beside another service, nothing of ours can overwrite its `tasks` or `models`."""
    pytest.importorskip("hatchling", reason="built without network only where the build backend is installed")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"stillframe"}


def test_every_test_says_the_fact_it_proves() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in _sources("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_file_holds_more_than_one_idea() -> None:
    """Files of the application stay below 350 lines; what is made from code may be longer."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in _sources(*_packages(), "lab", "bench")
        if "migrations" not in path.parts
        and not path.read_text().startswith('"""Made by')
        and (lines := len(path.read_text().splitlines())) > 350
    }
    assert long == {}
