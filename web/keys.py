"""Who a key acts for, asked of the database once in a few seconds and not with every request."""

import hashlib
from time import monotonic
from uuid import UUID

from sqlalchemy import Engine

from models.session import transaction
from models.tenants.actor import Actor
from models.tenants.keys import check_opens, verify_key

#: A revoked key may still open for so long, but for what outlives it (`web.auth.LASTING`).
REMEMBERED_S = 5.0
_MOST = 10_000


class Keys:
    """Keys that were found good lately, by their hash; a wrong one is asked about each time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._good: dict[bytes, tuple[Actor, float]] = {}

    def known(self, key: str) -> Actor | None:
        """Without asking the database."""
        actor, until = self._good.get(_hash(key), (None, 0.0))
        return actor if until > monotonic() else None

    def verify(self, key: str) -> Actor:
        """Asks the database; raises KeyRefused."""
        with transaction(self._engine) as session:
            actor = verify_key(session, key)
        if len(self._good) >= _MOST:
            self._good.clear()
        self._good[_hash(key)] = (actor, monotonic() + REMEMBERED_S)
        return actor

    def check(self, key: UUID) -> None:
        """Asks the database whether it still opens, however lately it did; raises KeyRefused."""
        with transaction(self._engine) as session:
            check_opens(session, key)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
