"""Files that are made from the code are as the code would make them now."""

from pathlib import Path

import pytest

from made.files import ROOT, files

FILES = files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_made_file_is_up_to_date(path: Path) -> None:
    """If not, `make made` writes it."""
    assert path.read_text() == FILES[path]
