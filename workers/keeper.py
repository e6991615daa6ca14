"""The keeper of a host: registers it, keeps the rows of its VMs true, and hands back the jobs of workers that died.

A process of its own, begun by the worker and ending with it: the worker's own process must not talk to libvirt, since it
forks, and a libvirt connection does not survive a fork.
"""

import logging
import queue
import sys
import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from hypervisor.libvirt_host import LibvirtHost
from hypervisor.port import Host
from models.hosts.machine import heartbeat
from models.jobs.journal import Journal
from models.session import DatabaseAway, make_engine, transaction
from stillframe.errors import HostLost
from stillframe.settings import Settings
from tasks.app import make_app
from tasks.broker import BrokerAway
from tasks.publish import Publisher
from workers import identity
from workers.checksums import Checksums
from workers.inventory import take_inventory
from workers.rescans import Rescans
from workers.watch_folder import WatchFolder
from workers.watching import Ear

logger = logging.getLogger(__name__)

#: Seconds between two signs of life, and between two looks for jobs whose worker died.
SIGN_S = 5.0
#: Seconds between two looks whether libvirt still hears us: one that was started anew says nothing by itself.
LISTEN_S = 1.0
#: Events of one change come in a bunch; the look waits until they are quiet for this long.
QUIET_S = 0.05


class Keeper:
    """One host's keeper. `publish` sends what is owed to this host's queue."""

    def __init__(self, settings: Settings, engine: Engine, host: Host, publish: Callable[[], object]) -> None:
        self.settings = settings
        self.engine = engine
        self.host = host
        self.publish = publish
        self.journal = Journal(engine)
        self.watchdog = Ear(engine, settings.host, WatchFolder(settings.watch_folder, settings.host))
        self._changes: queue.SimpleQueue[UUID] = queue.SimpleQueue()
        self._looked_at = float("-inf")
        self._signed_at = float("-inf")

    def run(self) -> None:
        """For ever: recover, look, wait for a change."""
        watching = False
        while True:
            try:
                if time.monotonic() - self._signed_at >= SIGN_S:
                    self.sign()
                self.watchdog.listen()
                if not watching:
                    self.host.watch(lambda vm, _: self._changes.put(vm))
                    watching = True
                if time.monotonic() - self._looked_at >= self.settings.inventory_s:
                    self.look()
                if self._changed(LISTEN_S):
                    self.look()
                self.host.facts()  # raises HostLost over a connection that died in silence
            except HostLost as error:
                logger.warning("libvirt is away: %s", error)
                self._reconnect()
            except BrokerAway as error:
                logger.warning("the broker is away, messages stay owed: %s", error)
            except DatabaseAway as error:
                logger.warning("the database is away: %s", error.orig)
                time.sleep(1.0)
            except Exception:
                # Whatever one VM says of itself: who hands back the jobs of dead workers must not end of it.
                logger.exception("the host could not be looked at")
                time.sleep(1.0)

    def sign(self) -> datetime:
        """A sign of life; jobs whose worker is dead are owed a message again, and get it."""
        with transaction(self.engine) as session:
            now = heartbeat(session, self.settings.host)
        lost = self.journal.release_lost(self.settings.host, identity.is_alive)
        self._signed_at = time.monotonic()
        if lost:
            logger.warning("workers died holding %s", ", ".join(map(str, lost)))
            self.publish()
        return now

    def look(self) -> None:
        """Reads the whole host and makes its rows true."""
        take_inventory(self.engine, self.host, self.settings)
        self._looked_at = time.monotonic()

    def _changed(self, within_s: float) -> bool:
        """Whether a VM changed within that time; returns once the bunch of events is over."""
        wait_s, changed = within_s, False
        while True:
            try:
                self._changes.get(timeout=wait_s)
            except queue.Empty:
                return changed
            wait_s, changed = QUIET_S, True

    def _reconnect(self) -> None:
        try:
            self.host.reconnect(SIGN_S)
            self._looked_at = float("-inf")
        except HostLost as error:
            logger.warning("%s", error)


def main() -> int:
    """Runs the keeper of this host until it is killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings.from_env()
    engine = make_engine(settings.database_url, pool_size=3, name=f"stillframe keeper {settings.host}")
    host = _libvirt(settings)
    Checksums(engine, host.images, settings.host).begin()
    Rescans(settings, engine, lambda: _libvirt(settings)).begin()
    publisher = Publisher(engine, make_app(settings.broker_url))
    Keeper(settings, engine, host, lambda: publisher.all_owed(host=settings.host)).run()
    return 0


def _libvirt(settings: Settings) -> LibvirtHost:
    return LibvirtHost(settings.libvirt_uri, settings.host, settings.agent_timeout_s)


if __name__ == "__main__":
    sys.exit(main())
