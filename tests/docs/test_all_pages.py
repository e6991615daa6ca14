"""What any page names is there: commands, settings, targets of make, other pages; and each decision is in the index."""

import re
import shlex
from pathlib import Path

import pytest

from stillframe.cli.parser import parse
from stillframe.settings import Settings, variable

ROOT = Path(__file__).resolve().parents[2]
TOP = ("README.md", "CONTRIBUTING.md", "deploy/README.md")
PAGES = [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))]
#: What the lab, the tests and the examples read, and no program of the service.
NOT_OF_THE_SERVICE = {"STILLFRAME_VAR", "STILLFRAME_CACHE"}
WITH_PAGES = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
TYPED = {
    page: sorted(set(re.findall(r"^\$ (stillframe .*)$", page.read_text(), re.M)))
    for page in PAGES
    if "adr" not in page.parts
}


def test_the_pages_have_commands() -> None:
    """The checks are not passed by writing commands in another way."""
    assert len(TYPED[ROOT / "README.md"]) > 5
    assert sum(map(len, TYPED.values())) > 30


@pytest.mark.parametrize("command", sorted({one for page in TYPED.values() for one in page}))
def test_what_a_page_types_can_be_typed(command: str) -> None:
    """It parses as it stands."""
    assert parse(shlex.split(command, comments=True)[1:]).command


@WITH_PAGES
def test_a_command_is_named_right(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Noun, verb and options exist, also where the rest is left out."""
    for command in set(re.findall(r"`stillframe\s+([^`]+)`", page.read_text())):
        words = command.split()
        verb = [word for word in words[:2] if re.fullmatch("[a-z]+", word)]
        with pytest.raises(SystemExit) as asked:
            parse([*verb, "--help"])
        said = capsys.readouterr().out
        assert asked.value.code == 0, f"{page.name}: stillframe {command}"
        for option in re.findall(r"--[a-z-]+", command):
            assert option in said or option == "--help", f"{page.name}: stillframe {command}"


@WITH_PAGES
def test_a_setting_is_one(page: Path) -> None:
    """Every STILLFRAME_ variable is one that is read."""
    there = {variable(name) for name in Settings.__dataclass_fields__} | NOT_OF_THE_SERVICE
    assert set(re.findall(r"\bSTILLFRAME_[A-Z_]+[A-Z]\b", page.read_text())) <= there


@WITH_PAGES
def test_what_make_is_told_to_do_it_can(page: Path) -> None:
    """Every target is one of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    text = page.read_text()
    assert set(re.findall(r"`make ([a-z]+)", text) + re.findall(r"^make ([a-z]+)", text, re.M)) <= targets


@WITH_PAGES
def test_a_link_leads_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading that it has."""
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {path}"
        if anchor and target.suffix == ".md":
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
            assert anchor in {_anchor(head) for head in heads}, f"{page.name}: {path}#{anchor}"


def _anchor(head: str) -> str:
    return re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")


def test_every_decision_is_in_the_index() -> None:
    """By its own title, once, in the order of their numbers."""
    folder = ROOT / "docs" / "adr"
    listed = re.findall(r"^- \[(\d+)\. (.+)\]\((.+)\)$", (folder / "README.md").read_text(), re.M)
    pages = sorted(page for page in folder.glob("*.md") if page.name != "README.md")
    assert [file for _, _, file in listed] == [page.name for page in pages]
    for number, title, file in listed:
        head = (folder / file).read_text().splitlines()[0]
        assert int(file[:4]) == int(number)
        assert title in head or head.lstrip("# ") in title, file
