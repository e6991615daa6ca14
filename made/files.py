"""Which files are made, and of what."""

import subprocess
import sys
from pathlib import Path

from made.answers import answers
from made.awaited import awaited
from made.problems import problems
from stillframe.settings import Settings
from web.app import create_app

ROOT = Path(__file__).resolve().parents[1]
CLIENT = ROOT / "stillframe" / "client"


def files() -> dict[Path, str]:
    """Each file's path, and what has to be in it."""
    nowhere = Settings(database_url="postgresql+psycopg://nowhere/", broker_url="redis://nowhere/0")
    document = create_app(nowhere).openapi()
    found = {CLIENT / "answers.py": answers(document), ROOT / "docs" / "problems.md": problems()}
    for source in sorted((CLIENT / "verbs").glob("*.py")):
        if source.stem != "__init__":
            found[CLIENT / "verbs" / "awaited" / source.name] = awaited(source.read_text(), source.stem)
    return {path: _formatted(path, text) for path, text in found.items()}


def _formatted(path: Path, text: str) -> str:
    """As ruff would leave it, so that `make format` changes nothing in it."""
    if path.suffix != ".py":
        return text
    for words in (["check", "--fix-only", "--quiet", "--select", "I"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *words, "--stdin-filename", str(path), "-"]
        text = subprocess.run(
            command, input=text, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
    return text
