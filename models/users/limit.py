"""How often a login may fail: a bucket a name and one an address, in Postgres, as several processes share them.

A try is charged before its password is looked at, so that many at once cannot pass together, and given back if the
password was right. A bucket drains steadily: nobody is locked out for longer than it takes to drain by one. That
guesses from elsewhere keep a name's bucket full harms nobody who logs in from an address they logged in from before:
there the name has a bucket of its own.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.users.tables import LoginBucket

#: Buckets that are empty are removed a few at a time, by whoever comes along.
_SWEPT = 10


@dataclass(frozen=True)
class Bucket:
    """Takes `most` at once, and drains by one in `each_s` seconds."""

    subject: str
    most: int
    each_s: float

    @property
    def key(self) -> str:
        """What it is kept under."""
        return hashlib.sha256(self.subject.encode()).hexdigest()


class Full(Exception):
    """A bucket takes nothing more for `wait_s` seconds. What was charged beside it is to be rolled back."""

    def __init__(self, bucket: Bucket, wait_s: float) -> None:
        super().__init__(wait_s)
        self.bucket = bucket
        self.wait_s = wait_s


def of_name(login: str, known_at: str | None) -> Bucket:
    """All tries at one login, from anywhere; or those from an address that the user is known at."""
    return Bucket(f"name\n{login}" if known_at is None else f"name\n{login}\n{known_at}", 10, 60)


def of_address(address: str) -> Bucket:
    """All tries from one address, which may be that of a whole office."""
    return Bucket(f"address\n{address}", 50, 10)


def charge(session: Session, buckets: Iterable[Bucket]) -> None:
    """One try more in each; raises Full."""
    for bucket in _in_order(buckets):
        after = func.greatest(LoginBucket.empty_at, func.now()) + _seconds(bucket.each_s)
        taken = (
            insert(LoginBucket)
            .values(subject=bucket.key, empty_at=func.now() + _seconds(bucket.each_s))
            .on_conflict_do_update(
                index_elements=[LoginBucket.subject],
                set_={"empty_at": after, "told": LoginBucket.told & (LoginBucket.empty_at > func.now())},
                where=after <= func.now() + _seconds(bucket.each_s * bucket.most),
            )
            .returning(LoginBucket.subject)
        )
        if session.execute(taken).one_or_none() is None:
            raise Full(bucket, _wait_s(session, bucket))


def give_back(session: Session, buckets: Iterable[Bucket]) -> None:
    """The try was a good one: it counts for nothing."""
    for bucket in _in_order(buckets):
        less = LoginBucket.empty_at - _seconds(bucket.each_s)
        session.execute(update(LoginBucket).where(LoginBucket.subject == bucket.key).values(empty_at=less))


def is_news(session: Session, bucket: Bucket) -> bool:
    """Whether nobody was told yet, since it was empty, that it is full; asked again, somebody was."""
    row = LoginBucket.subject == bucket.key, LoginBucket.told.is_(False)
    told = update(LoginBucket).where(*row).values(told=True).returning(LoginBucket.subject)
    return session.execute(told).one_or_none() is not None


def sweep(session: Session) -> None:
    """Removes some that are empty."""
    some = select(LoginBucket.subject).where(LoginBucket.empty_at < func.now()).limit(_SWEPT)
    locked = some.with_for_update(skip_locked=True).scalar_subquery()
    session.execute(delete(LoginBucket).where(LoginBucket.subject.in_(locked)))


def _wait_s(session: Session, bucket: Bucket) -> float:
    """Until it has drained by one."""
    full_since = LoginBucket.empty_at - func.now() - _seconds(bucket.each_s * (bucket.most - 1))
    of = select(func.extract("epoch", full_since)).where(LoginBucket.subject == bucket.key)
    return max(0.0, float(session.scalar(of) or 0.0))


def _in_order(buckets: Iterable[Bucket]) -> list[Bucket]:
    """Whoever charges the same ones locks them in the same order."""
    return sorted(buckets, key=lambda one: one.key)


def _seconds(seconds: float) -> ColumnElement[object]:
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds)
