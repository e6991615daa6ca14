"""Which passwords can be had. What they are made of is nobody's business; that they are long and not plain is."""

import unicodedata
from collections.abc import Iterable
from itertools import pairwise

from stillframe.errors import PasswordInvalid

#: Characters. The upper bound keeps a megabyte from being hashed.
SHORTEST, LONGEST = 12, 256
#: Below so many different characters it is a pattern, however long.
_FEWEST = 5
_WORDS = ("stillframe", "password", "administrator", "admin", "welcome", "changeme", "letmein", "secret")
_RUNS = ("1234567890", "0987654321", "qwertyuiop", "qwertyuiopasdfghjklzxcvbnm")


def normal(password: str) -> str:
    """The one spelling of what was typed: keyboards write the same letter in several ways."""
    return unicodedata.normalize("NFC", password)


def check_password(password: str, words: Iterable[str] = ()) -> str:
    """The password in its one spelling; raises PasswordInvalid. `words` are what is known of its user: names, say."""
    password = normal(password)
    if why := _why_not(password) or _why_plain(password.casefold(), words):
        raise PasswordInvalid(why=why)
    return password


def _why_not(password: str) -> str | None:
    if len(password) < SHORTEST:
        return f"it has {len(password)} characters, and {SHORTEST} are the fewest"
    if len(password) > LONGEST:
        return f"it has more than {LONGEST} characters"
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in password):
        return "it has a control character"
    if len(set(password)) < _FEWEST:
        return f"it has fewer than {_FEWEST} different characters"
    return None


def _why_plain(password: str, words: Iterable[str]) -> str | None:
    steps = {ord(after) - ord(before) for before, after in pairwise(password)}
    if steps in ({1}, {-1}) or any(password in run * len(password) for run in _RUNS):
        return "its characters follow one another"
    bare = _letters(password.replace("0", "o"))
    for word in (*_WORDS, *map(_letters, words)):
        if word and word in bare and not bare.replace(word, "").strip("o"):
            return "it is a name, or a word that everybody tries first, with little besides"
    return None


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.casefold()))
