"""The keeper's ear for the watchdog: its words become events, and so does its silence.

The watchdog itself knows no database; and who watches nobody must at least be missed.
"""

import logging

from sqlalchemy import Engine

from models.hosts.watch import tell_of_watchdog, tell_word
from models.moves import Told
from stillframe.events import EventType, Level
from workers.watch_folder import WatchFolder, now

logger = logging.getLogger(__name__)

#: Seconds without a sign of life after which the watchdog is missed.
SILENT_S = 15.0


class Ear:
    """Listens for one host's keeper."""

    def __init__(self, engine: Engine, host: str, folder: WatchFolder) -> None:
        self._engine = engine
        self._host = host
        self._folder = folder
        self._began = now()
        self._missed = False

    def listen(self) -> None:
        """Tells what there is to tell; raises DatabaseAway, and then nothing of it is lost."""
        for word in self._folder.words():
            told = Told(
                word.type, f"watchdog {self._host}", word.level, word.message, word.data | {"at": word.at}
            )
            tell_word(self._engine, self._host, told, word=word.id, vm=word.vm, job=word.job)
            self._folder.forget(word)
        self._miss()

    def _miss(self) -> None:
        silent_s = self._folder.silent_s()
        if silent_s is None:
            silent_s = now() - self._began
        missed = silent_s > SILENT_S
        if missed == self._missed:
            return
        told = _silent(self._host, round(silent_s)) if missed else _back(self._host)
        logger.log(logging.WARNING if missed else logging.INFO, told.message)
        tell_of_watchdog(self._engine, self._host, told)
        self._missed = missed


def _silent(host: str, silent_s: int) -> Told:
    message = (
        f"The watchdog of host {host} has given no sign of life for {silent_s} s: nobody ends what a worker that dies leaves "
        "frozen or paused until its job is carried on."
    )
    return Told(EventType.WATCHDOG_SILENT, host, Level.WARNING, message)


def _back(host: str) -> Told:
    return Told(EventType.WATCHDOG_BACK, host, Level.INFO, f"The watchdog of host {host} is there.")
