"""What the docs name is there: files, and functions, classes and methods in them."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("docs/**/*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
TOPS = "stillframe|models|hypervisor|tasks|workers|web|lab|tests|bench|deploy|docs"
NAMED = re.compile(rf"`((?:{TOPS})/[\w./-]+|beat_schedule\.py)(?::([A-Za-z_][\w.]*))?`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def _named(page: Path) -> set[tuple[str, str]]:
    return {(match[1], match[2] or "") for match in NAMED.finditer(page.read_text())}


ALL = sorted((page.relative_to(ROOT).as_posix(), *named) for page in PAGES for named in _named(page))


@cache
def _names_in(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return frozenset(found)


@pytest.mark.parametrize(("page", "path", "name"), ALL)
def test_what_a_page_names_is_there(page: str, path: str, name: str) -> None:
    """A file by its path from the root, and `path:function` or `path:Class.method` in it."""
    assert (ROOT / path).exists(), f"{page} names {path}"
    if name:
        assert name in _names_in(ROOT / path), f"{page} names {path}:{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Links to other files of the repository."""
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_journey_names_the_road_it_describes() -> None:
    """The check is not passed by naming nothing."""
    in_it = {path for page, path, name in ALL if page == "docs/journey.md" and name}
    assert {"tasks/producer.py", "workers/run_job.py", "workers/carry.py", "models/jobs/journal.py"} <= in_it
