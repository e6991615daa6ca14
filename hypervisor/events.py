"""libvirt's event loop in a thread of this process, and what is heard of VMs through it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import libvirt

#: An event comes on the same wire before the answer to the call that caused it, but by another thread.
_LATE_EVENT_S = 0.2

#: What changes a VM without a start or a stop: a device that comes or goes, an agent that opens its channel.
_CHANGES = (
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
)
#: The number of such a one, which is no number of libvirt's.
CHANGED = -1

Heard = Callable[[UUID, int, float], None]


class _Loop:
    """There is one event loop a process, and libvirt must know of it before a connection is opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None

    def run(self) -> None:
        """Starts it, once. Raises RuntimeError in a child of a process that had it running."""
        with self._lock:
            if self._pid == os.getpid():
                return
            if self._pid is not None:
                # The loop's descriptors came over the fork: to poll them here would eat the parent's answers.
                raise RuntimeError(
                    f"libvirt was in use in process {self._pid} before it forked {os.getpid()}: "
                    "connect only after the fork"
                )
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            libvirt.virEventRegisterDefaultImpl()
            self._pid = os.getpid()
            threading.Thread(target=self._turn, name="libvirt-events", daemon=True).start()

    def _turn(self) -> None:
        while True:
            with suppress(libvirt.libvirtError):
                libvirt.virEventRunDefaultImpl()


LOOP = _Loop()


class Lifecycle:
    """Starts, stops, pauses of VMs, as heard on one connection at a time."""

    def __init__(self) -> None:
        self._listeners: list[Heard] = []
        self._attached: Any = None

    def attach(self, connection: Any) -> None:
        """Hears events of this connection from now on."""
        if self._attached is connection:
            return
        kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        connection.domainEventRegisterAny(None, kind, self._heard, None)
        for kind in _CHANGES:
            connection.domainEventRegisterAny(None, kind, self._changed, None)
        self._attached = connection

    def listen(self, heard: Heard) -> None:
        """Calls `heard` with a VM, the event's number and the monotonic time, from the loop's thread."""
        self._listeners.append(heard)

    def forget(self, heard: Heard) -> None:
        """Ends it."""
        self._listeners.remove(heard)

    @contextmanager
    def pauses_of(self, vm: UUID) -> Iterator["Pauses"]:
        """Measures how long a VM stands still within the block."""
        pauses = Pauses(vm)
        self.listen(pauses.heard)
        try:
            yield pauses
        finally:
            self.forget(pauses.heard)

    def _heard(self, _connection: Any, domain: Any, event: int, _detail: int, _opaque: Any) -> None:
        at = time.monotonic()
        vm = UUID(domain.UUIDString())
        for listener in list(self._listeners):
            listener(vm, event, at)

    def _changed(self, _connection: Any, domain: Any, *_words: Any) -> None:
        vm = UUID(domain.UUIDString())
        for listener in list(self._listeners):
            listener(vm, CHANGED, time.monotonic())


class Pauses:
    """The sum of all times from SUSPENDED to RESUMED of one VM."""

    def __init__(self, vm: UUID) -> None:
        self._vm = vm
        self._changed = threading.Condition()
        self._since: float | None = None
        self._sum_s = 0.0

    def heard(self, vm: UUID, event: int, at: float) -> None:
        """Takes note of an event."""
        if vm != self._vm:
            return
        with self._changed:
            if event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED and self._since is None:
                self._since = at
            elif event == libvirt.VIR_DOMAIN_EVENT_RESUMED and self._since is not None:
                self._sum_s += at - self._since
                self._since = None
            self._changed.notify_all()

    def ms(self) -> int:
        """Milliseconds in all; a pause whose end was not heard counts up to now."""
        with self._changed:
            self._changed.wait_for(lambda: self._since is None, _LATE_EVENT_S)
            open_s = time.monotonic() - self._since if self._since is not None else 0.0
            return round((self._sum_s + open_s) * 1000)
