"""A call that blocks for as long as libvirt likes, watched from outside."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from hypervisor.child import PULSE_EVERY_S

Result = TypeVar("Result")


class LongCall(Generic[Result]):
    """Runs a call in a thread of its own; libvirt lets go of the interpreter while it waits."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._ended = threading.Event()
        self._result: list[Result] = []
        self._error: BaseException | None = None

    def run(self, meanwhile: Callable[[], None]) -> Result:
        """The call's result, or what it raises; `meanwhile` is called every 0.15 s until then."""
        threading.Thread(target=self._work, name="libvirt-call", daemon=True).start()
        while not self._ended.wait(PULSE_EVERY_S):
            meanwhile()
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
