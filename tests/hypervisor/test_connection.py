"""Connections, errors and forks, on libvirt's own test driver."""

import os
import subprocess
import sys
from uuid import uuid4

import libvirt
import pytest

from hypervisor import libvirt_facts, libvirt_vm, xml
from hypervisor.libvirt_host import LibvirtHost
from hypervisor.translate import in_our_words
from stillframe.errors import (
    AgentUnresponsive,
    HostLost,
    HypervisorFailed,
    StillframeError,
    VmBusy,
    VmGone,
)
from stillframe.states import VmState

TEST_DRIVER = "test:///default"


def failed(code: int, domain: int = libvirt.VIR_FROM_QEMU, said: str = "words") -> libvirt.libvirtError:
    error = libvirt.libvirtError("words")
    error.err = (code, domain, said, 2, None, None, None, 0, 0)
    return error


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (failed(libvirt.VIR_ERR_NO_DOMAIN), VmGone),
        (failed(libvirt.VIR_ERR_OPERATION_TIMEOUT), VmBusy),
        (failed(libvirt.VIR_ERR_BLOCK_COPY_ACTIVE), VmBusy),
        (failed(libvirt.VIR_ERR_OPERATION_ABORTED), HypervisorFailed),
        (failed(libvirt.VIR_ERR_AGENT_UNRESPONSIVE), AgentUnresponsive),
        (
            failed(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, said="QEMU guest agent is not configured"),
            AgentUnresponsive,
        ),
        (failed(libvirt.VIR_ERR_INTERNAL_ERROR), HypervisorFailed),
        (failed(libvirt.VIR_ERR_OPERATION_INVALID), HypervisorFailed),
        (failed(libvirt.VIR_ERR_CONFIG_UNSUPPORTED), HypervisorFailed),
        (failed(libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC, "client socket is closed"), HostLost),
        (failed(libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC, "Connection reset"), HostLost),
        (failed(libvirt.VIR_ERR_NO_CONNECT), HostLost),
    ],
)
def test_every_number_has_a_word(error: libvirt.libvirtError, ours: type[StillframeError]) -> None:
    """Each of libvirt's errors that means something to a step is an error of its own, with the number as evidence."""
    found = in_our_words(error, vm="web", host="h1")
    assert type(found) is ours
    assert found.context["libvirt_code"] == error.get_error_code()


def test_host_that_is_not_there_is_lost() -> None:
    """A daemon that cannot be reached is a lost host, at once and after every try to reconnect."""
    host = LibvirtHost("qemu+unix:///system?socket=/nonexistent", "h1")
    with pytest.raises(HostLost):
        host.vms()
    with pytest.raises(HostLost):
        host.reconnect(0.0)


def test_vms_are_found_through_any_driver() -> None:
    """Lookup by name and uuid, the list and stop work on libvirt's test driver."""
    host = LibvirtHost(TEST_DRIVER, "h1")
    found = host.find("test")
    assert found is not None
    assert host.find(str(found.uuid)) == found
    assert found in host.vms()
    assert host.find("nobody") is host.find(str(uuid4())) is None
    vm = host.vm(found.uuid)
    vm.stop()
    vm.stop()
    assert vm.facts().state is VmState.OFF
    host.close()
    host.close()


def test_vm_that_cannot_be_read_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM that cannot be looked at is in the list with what is known of it and why; a lost connection hides nothing."""
    host = LibvirtHost(TEST_DRIVER, "h1")
    other = "<domain type='test'><name>other</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    defined = host.connection.main().defineXML(other)
    real = xml.memory_bytes_of
    try:
        for error in (KeyError("unit"), ValueError("no number"), failed(libvirt.VIR_ERR_OPERATION_TIMEOUT)):

            def memory_bytes_of(definition: str, error: Exception = error) -> int:
                if "<name>other<" in definition:
                    raise error
                return real(definition)

            monkeypatch.setattr("hypervisor.xml.memory_bytes_of", memory_bytes_of)
            found = {vm.name: vm for vm in host.vms()}
            assert found["test"].unreadable is None
            assert found["other"].unreadable
            assert (found["other"].state, found["other"].reason) == (VmState.OFF, "unreadable")
            with pytest.raises((HypervisorFailed, VmBusy)):
                host.find("other")
        monkeypatch.setattr(
            "hypervisor.xml.memory_bytes_of",
            lambda _: (_ for _ in ()).throw(failed(libvirt.VIR_ERR_NO_CONNECT)),
        )
        with pytest.raises(HostLost):
            host.vms()
    finally:
        defined.undefine()
        host.close()


def in_a_child(code: str) -> str:
    """Runs code in a fresh interpreter, for it forks."""
    begin = "import os, sys\nfrom hypervisor.libvirt_host import LibvirtHost\n"
    begin += f"host = LibvirtHost({TEST_DRIVER!r}, 'h1')\n"
    ended = subprocess.run(
        [sys.executable, "-c", begin + code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=os.getcwd(),
    )
    return ended.stdout.strip()


def test_host_made_before_a_fork_connects_after_it() -> None:
    """Nothing is opened until it is asked for, so a host may be made in the parent and used in the child."""
    code = "if os.fork() == 0:\n    print(len(host.vms()), flush=True)\n    os._exit(0)\nos.wait()\n"
    assert in_a_child(code) == "1"


def test_open_connection_is_refused_after_a_fork() -> None:
    """A connection that came over a fork is refused instead of breaking the parent's, and so is a new one there."""
    code = (
        "host.vms()\n"
        "if os.fork() == 0:\n"
        f"    for one in (host, LibvirtHost({TEST_DRIVER!r}, 'h2')):\n"
        "        try:\n"
        "            one.vms()\n"
        "        except RuntimeError as error:\n"
        "            print('refused', flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(len(host.vms()))\n"
    )
    assert in_a_child(code).split() == ["refused", "refused", "1"]


def test_a_definition_that_a_migration_left_is_no_vm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handle says that the VM is gone; the list still has it, with the images it names."""
    host = LibvirtHost(TEST_DRIVER, "h1")
    (vm,) = host.vms()
    for module in (libvirt_vm, libvirt_facts):
        monkeypatch.setattr(module, "state_of", lambda _: (VmState.OFF, "migrated"))
    with pytest.raises(VmGone, match="h1"):
        host.vm(vm.uuid).facts()
    assert [(one.uuid, one.migrated) for one in host.vms()] == [(vm.uuid, True)]
    assert (
        libvirt_facts._REASONS[libvirt.VIR_DOMAIN_SHUTOFF][libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED] == "migrated"
    )
    host.close()
