"""Passwords hashed by Argon2id. Slow and large on purpose: whoever calls this bounds how many run at once."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from stillframe.passwords import normal


class Passwords:
    """Hashes and compares. Without parameters those of the library: RFC 9106's for machines that do other things too."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        # Nobody's: comparing with it takes as long as with a real one, and never fits.
        self._nobodys = (
            f"$argon2id$v=19$m={self._hasher.memory_cost},t={self._hasher.time_cost},"
            f"p={self._hasher.parallelism}$c2FsdHNhbHRzYWx0c2FsdA${'A' * (self._hasher.hash_len * 4 // 3 + 1)}"
        )

    def hash(self, password: str) -> str:
        """What is kept of a password: parameters, salt and hash in one text."""
        return self._hasher.hash(normal(password))

    def fits(self, kept: str | None, password: str) -> bool:
        """Whether a password is the one of which `kept` was kept. With None it takes as long and does not fit."""
        try:
            return self._hasher.verify(self._nobodys if kept is None else kept, normal(password)) and bool(
                kept
            )
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, kept: str) -> bool:
        """Whether it was hashed with other parameters than are asked for now."""
        return self._hasher.check_needs_rehash(kept)
