"""Calls into libvirt that may never come back."""

import threading
import time
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from hypervisor import libvirt_vm
from hypervisor.libvirt_vm import LibvirtVm
from hypervisor.long_call import Aside, LongCall
from hypervisor.port import Vm
from stillframe.errors import HypervisorFailed


class HungDomain:
    """A VM whose QEMU does not answer: libvirt waits for it, for as long as it takes."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def name(self) -> str:
        return "web"

    def isActive(self) -> bool:  # noqa: N802
        return True

    def XMLDesc(self, _flags: int) -> str:  # noqa: N802
        return "<domain><name>web</name></domain>"

    def state(self) -> tuple[int, int]:
        return (3, 0)

    def connect(self) -> None: ...

    def agentSetResponseTimeout(self, _timeout: int, _flags: int) -> None: ...  # noqa: N802

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments: self.let_go.wait(20)


class Connected:
    """A connection to a daemon that answers, to all but what QEMU has to answer."""

    def __init__(self, domain: HungDomain) -> None:
        self.domain = domain
        self.is_abandoned = False

    def abandon(self) -> None:
        self.is_abandoned = True

    def main(self) -> "Connected":
        return self

    def lookupByUUID(self, _uuid: bytes) -> HungDomain:  # noqa: N802
        return self.domain


@pytest.mark.parametrize(
    "act",
    [
        lambda vm: vm.stop(),
        lambda vm: vm.resume(),
        lambda vm: vm.block_job("vda"),
        lambda vm: vm.start_commit("vda", "/top", "/base"),
        lambda vm: vm.pivot("vda"),
        lambda vm: vm.abort_block_job("vda"),
        lambda vm: vm.thaw(),
    ],
    ids=["stop", "resume", "block_job", "start_commit", "pivot", "abort_block_job", "thaw"],
)
def test_hung_qemu_does_not_hold_a_caller(act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What libvirt does not end is given up after a while, with the word that it is still at it."""
    monkeypatch.setattr(libvirt_vm, "LIMIT_S", 0.05)
    domain = HungDomain()
    connection = Connected(domain)
    vm: Vm = LibvirtVm(connection, uuid4(), "h1", 5)  # type: ignore[arg-type]
    try:
        with pytest.raises(HypervisorFailed, match="still works on it"):
            act(vm)
        assert connection.is_abandoned
    finally:
        domain.let_go.set()


def test_call_within_its_time_is_as_without() -> None:
    """A bounded call gives what it gives, and raises what it raises."""
    assert LongCall(lambda: 3).within(5, "count", _never) == 3
    nobody: set[int] = set()
    with pytest.raises(KeyError):
        LongCall(nobody.pop).within(5, "look", _never)


def test_pulse_goes_on_beside_a_question_that_is_not_answered() -> None:
    """Who asks aside is called every 0.15 s, however long an answer takes."""
    aside, times = Aside(), [time.monotonic()]
    answer = threading.Event()

    def question() -> None:
        answer.wait(20)

    def meanwhile() -> None:
        aside.do(question)
        times.append(time.monotonic())

    LongCall(lambda: time.sleep(1)).run(meanwhile)
    answer.set()
    aside.wait(5)
    assert len(times) > 4
    assert max(later - sooner for sooner, later in pairwise(times)) < 0.5


def _never() -> None:
    raise AssertionError("it has ended")
