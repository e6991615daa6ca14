"""Which passwords can be had."""

import pytest

from stillframe.errors import PasswordInvalid
from stillframe.passwords import LONGEST, SHORTEST, check_password


@pytest.mark.parametrize(
    "password",
    [
        "four words nobody joined",
        "패스워드는길면길수록좋다",
        "8402913375610",
        "kim likes his garden",
        "correct-horse",
        "x" * 100 + " yz!1",
    ],
)
def test_long_is_enough(password: str) -> None:
    """Of any characters: no capital, digit or sign is asked for."""
    assert check_password(password, ["kim", "/acme"]) == password


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("x1!Y" * 2, "the fewest"),
        ("", "the fewest"),
        ("abcde" * 60, "more than 256"),
        ("four words\nnobody", "control"),
        ("abababababababab", "different"),
        ("abcdefghijklmn", "follow one another"),
        ("123456789012", "follow one another"),
        ("ZYXWVUTSRQPO", "follow one another"),
        ("qwertyuiopas", "follow one another"),
        ("Passw0rd2026!", "everybody tries"),
        ("stillframe-2026", "everybody tries"),
        ("kim.kim.kim.2026", "everybody tries"),
        ("Annabelle.Lee1", "everybody tries"),
    ],
)
def test_what_is_tried_first_is_not(password: str, why: str) -> None:
    """Short ones, patterns, and the names that stand beside it."""
    with pytest.raises(PasswordInvalid) as refused:
        check_password(password, ["kim", "Annabelle Lee", ""])
    assert why in refused.value.detail
    assert not password or password not in refused.value.detail


def test_one_spelling_counts() -> None:
    """What a keyboard composes of two characters is what another has as one."""
    assert check_password("a\u0308" * 6 + "bcdefg") == "ä" * 6 + "bcdefg"
    with pytest.raises(PasswordInvalid):
        check_password("a\u0308" * SHORTEST)
    assert len(check_password("a\u0308bcdefgh" + "x" * (LONGEST - 8))) == LONGEST
