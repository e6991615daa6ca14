"""A call that blocks for as long as libvirt likes, watched from outside."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from hypervisor.child import PULSE_EVERY_S
from stillframe.errors import HypervisorFailed

Result = TypeVar("Result")


class Aside:
    """Does small things one at a time in a thread of its own, so that nobody waits for them."""

    def __init__(self) -> None:
        self._under_way: threading.Thread | None = None

    def do(self, act: Callable[[], None]) -> None:
        """Begins it, unless the one before has not ended."""
        if self._under_way is None or not self._under_way.is_alive():
            self._under_way = threading.Thread(target=act, name="libvirt-aside", daemon=True)
            self._under_way.start()

    def wait(self, limit_s: float) -> None:
        """Until the last one has ended, but no longer."""
        if self._under_way is not None:
            self._under_way.join(limit_s)


class LongCall(Generic[Result]):
    """Runs a call in a thread of its own; libvirt lets go of the interpreter while it waits."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._ended = threading.Event()
        self._result: list[Result] = []
        self._error: BaseException | None = None

    def run(self, meanwhile: Callable[[], None]) -> Result:
        """The call's result, or what it raises; `meanwhile` is called every 0.15 s until then."""
        self._start()
        while not self._ended.wait(PULSE_EVERY_S):
            meanwhile()
        return self._outcome()

    def beside(self, meanwhile: Callable[[], None], given_up: Callable[[], None]) -> Result:
        """As `run`, but what `meanwhile` raises ends the wait: only for a call of which it does not matter when it ends."""
        try:
            return self.run(meanwhile)
        except BaseException:
            if not self._ended.is_set():
                given_up()
            raise

    def within(self, limit_s: float, what: str, given_up: Callable[[], None]) -> Result:
        """The call's result, or what it raises; HypervisorFailed if it has not ended by then.

        The call cannot be taken back: libvirt may still do what it was asked, whenever QEMU answers it.
        """
        self._start()
        if not self._ended.wait(limit_s):
            given_up()
            raise HypervisorFailed(
                detail=f"libvirt did not end to {what} within {limit_s:g} s and still works on it"
            )
        return self._outcome()

    def _start(self) -> None:
        threading.Thread(target=self._work, name="libvirt-call", daemon=True).start()

    def _outcome(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _work(self) -> None:
        try:
            self._result.append(self._call())
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()
