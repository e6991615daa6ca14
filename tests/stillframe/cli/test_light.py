"""What the command line must not do before it has to."""

import subprocess
import sys

import pytest

HEAVY = ("httpx", "pydantic", "sqlalchemy", "celery", "fastapi", "psycopg", "dataclasses", "typing", "json")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(argument: str) -> None:
    """Neither the HTTP client nor anything else that costs more than argparse is imported."""
    program = (
        "import sys; bare = set(sys.modules); from stillframe.cli import main\n"
        f"try: main([{argument!r}])\n"
        f"except SystemExit: print(sorted(set({HEAVY}) & (set(sys.modules) - bare)))"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.')\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_client_is_imported_without_httpx() -> None:
    """Other services may import the words and the client's errors without paying for HTTP."""
    program = "import sys; sys.path.insert(0, '.'); import stillframe.client; print('httpx' in sys.modules)"
    ended = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == "False\n"
