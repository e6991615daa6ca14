"""What the routes share: made once a process, passed by FastAPI."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Concatenate, ParamSpec, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from models.jobs.journal import Journal
from models.session import transaction
from stillframe.settings import Settings
from tasks.producer import Producer
from web.keys import Keys
from web.logins import Logins
from web.streaming import Streams
from web.waiting import Bell

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class House:
    """The process's own parts."""

    settings: Settings
    engine: Engine
    #: The same pool for reading: each statement stands for itself, which saves two round trips a request.
    reads: Engine
    producer: Producer
    journal: Journal
    keys: Keys
    logins: Logins
    bell: Bell
    streams: Streams

    def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a question to the rows answers."""
        with self.reads.connect() as connection:
            return query(connection, *args, **kwargs)

    def write(self, change: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a change of the rows returns, in a transaction of its own."""
        with transaction(self.engine) as session:
            return change(session, *args, **kwargs)

    @property
    def fresh(self) -> timedelta:
        """How long ago a host may have been seen and still counts as alive."""
        return timedelta(seconds=2 * self.settings.inventory_s)


async def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


HouseOf = Annotated[House, Depends(_house)]
