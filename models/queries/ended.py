"""Who listens hears at once that a job or a rescan has ended: one connection a process, however many wait."""

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any, cast
from uuid import UUID

import psycopg
from sqlalchemy import Engine, select, union_all

from models.hosts.tables import Rescan
from models.jobs.tables import Job
from models.moves import OVER_CHANNEL
from stillframe.states import OVER, RescanState

log = logging.getLogger(__name__)

#: What Postgres shows of the connection that listens.
LISTENER = "stillframe listening"
#: How long a word that was lost on the way may stay unnoticed.
LOOK_AGAIN_S = 1.0
_ENDED = (RescanState.DONE, RescanState.FAILED)


class EndedJobs:
    """A thread that calls `heard` with the id of each job that has ended (or is stuck), and of each rescan that has.

    The word may come late, twice, or for what nobody waits for: look at the row. `awaited` tells which are looked up
    once a second in one query, so that nothing is lost while the connection is.
    """

    def __init__(
        self, engine: Engine, heard: Callable[[UUID], None], awaited: Callable[[], Collection[UUID]]
    ) -> None:
        self._engine = engine
        self._heard = heard
        self._awaited = awaited
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ended-jobs", daemon=True)

    def start(self) -> None:
        """Begins to listen, as soon as the database can be reached."""
        self._thread.start()

    def stop(self) -> None:
        """Ends within about a second; does not wait for it."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._listen()
            except Exception as error:  # whatever it is: those who wait must not wait for nobody
                log.warning("not listening for ended jobs for now: %s", error)
                self._over.wait(LOOK_AGAIN_S)

    def _listen(self) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"SET application_name = '{LISTENER}'")
            connection.exec_driver_sql(f"LISTEN {OVER_CHANNEL}")
            driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
            try:
                while not self._over.is_set():
                    for notify in driver.notifies(timeout=LOOK_AGAIN_S):
                        self._tell(notify.payload)
                    if awaited := list(self._awaited()):
                        jobs = select(Job.id).where(Job.id.in_(awaited), Job.state.in_(OVER))
                        rescans = select(Rescan.id).where(Rescan.id.in_(awaited), Rescan.state.in_(_ENDED))
                        for id_ in connection.scalars(union_all(jobs, rescans)):
                            self._heard(id_)
            finally:
                connection.invalidate()  # a connection that listens must not go back to the pool

    def _tell(self, payload: str) -> None:
        try:
            self._heard(UUID(payload))
        except ValueError:
            log.warning("a word on %s that is no job's id: %r", OVER_CHANNEL, payload)
