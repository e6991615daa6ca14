"""The connections of one process to one libvirt daemon: one to work with and one to look and abort with meanwhile."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import libvirt

from hypervisor import definitions
from hypervisor.events import LOOP, Lifecycle
from hypervisor.translate import in_our_words
from stillframe.errors import HostLost

KEEPALIVE_S = 5
KEEPALIVE_MISSED = 3
_RETRY_S = 0.1


class Connection:
    """Opened when first used, and used by that process only: libvirt's sockets do not survive a fork."""

    def __init__(self, uri: str, definitions: str = definitions.FOLDER) -> None:
        self.uri = uri
        #: Where the daemon keeps its definitions.
        self.definitions = definitions
        self.lifecycle = Lifecycle()
        #: Called with every new working connection.
        self.when_open: list[Callable[[Any], None]] = []
        self._pid: int | None = None
        self._main: Any = None
        self._second: Any = None
        self._opening = threading.Lock()

    def main(self) -> Any:
        """The connection to work with. Raises libvirtError, and RuntimeError after a fork."""
        self._check_process()
        if self._main is None:
            self._main = self._open()
            for act in self.when_open:
                act(self._main)
        return self._main

    def second(self) -> Any:
        """Another one, on which calls go through while the first waits for an answer."""
        self._check_process()
        with self._opening:
            if self._second is None or not self._second.isAlive():
                self._second = self._open()
            return self._second

    def hear(self) -> Lifecycle:
        """Events of VMs."""
        self.lifecycle.attach(self.main())
        return self.lifecycle

    def reopen(self, timeout_s: float) -> None:
        """Tries until it is open or `timeout_s` have passed; raises HostLost."""
        self._check_process()
        until = time.monotonic() + timeout_s
        while True:
            self.close()
            try:
                self.main().getLibVersion()
                return
            except libvirt.libvirtError as error:
                if time.monotonic() >= until:
                    raise HostLost(detail=str(in_our_words(error)), uri=self.uri) from error
            time.sleep(_RETRY_S)

    def abandon(self) -> None:
        """Leaves the connection to a call that does not end, and opens another for the next.

        A daemon takes five calls at once on one connection; and a call beside one that waits may be sent seconds late.
        """
        self._main = None

    def close(self) -> None:
        """Closes what this process opened; twice is fine."""
        opened = (self._main, self._second) if self._pid == os.getpid() else ()
        self._main = self._second = None
        for connection in opened:
            if connection is not None:
                with suppress(libvirt.libvirtError):
                    connection.close()

    def _check_process(self) -> None:
        if self._pid is None:
            self._pid = os.getpid()
        elif self._pid != os.getpid():
            raise RuntimeError(f"this connection belongs to process {self._pid}, not to {os.getpid()}")

    def _open(self) -> Any:
        LOOP.run()
        connection = libvirt.open(self.uri)
        # Without it a daemon that stands still would let every call wait for ever.
        with suppress(libvirt.libvirtError):
            connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_MISSED)
        return connection
