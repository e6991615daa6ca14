"""The real hypervisor: the port on a libvirt daemon. VMs are in `libvirt_vm.py`, images in `qemu_img.py`."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal
from uuid import UUID

import libvirt

from hypervisor import definitions
from hypervisor.connection import Connection
from hypervisor.libvirt_facts import facts_of, little_of
from hypervisor.libvirt_vm import LibvirtVm
from hypervisor.port import HostFacts, Images, VmFacts
from hypervisor.qemu_img import QemuImages
from hypervisor.translate import translated
from stillframe.errors import HostLost, StillframeError, VmGone

Changed = Callable[[UUID, Literal["changed", "gone"]], None]


class LibvirtHost:
    """`hypervisor.port.Host` on libvirt. It connects when first asked, in the process that asks."""

    def __init__(
        self, uri: str, name: str, agent_timeout_s: int = 10, definitions: str = definitions.FOLDER
    ) -> None:
        self.name = name
        self.images: Images = QemuImages()
        self.agent_timeout_s = agent_timeout_s
        self.connection = Connection(uri, definitions)
        self._watchers: list[Changed] = []
        self._heard: queue.SimpleQueue[UUID | None] = queue.SimpleQueue()

    def facts(self) -> HostFacts:
        """What the machine is."""
        with translated(host=self.name):
            connection = self.connection.main()
            return HostFacts(
                name=self.name,
                libvirt_version=_version(connection.getLibVersion()),
                qemu_version=_version(connection.getVersion()),
                cpus=connection.getInfo()[2],
                # getInfo has a figure for memory too, which misses memory that was plugged in later.
                memory_bytes=connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)["total"]
                << 10,
            )

    def vms(self) -> tuple[VmFacts, ...]:
        """All VMs; one that goes away meanwhile is left out, and one that cannot be looked at says why."""
        with translated(host=self.name):
            domains = self.connection.main().listAllDomains(0)
        found = []
        for domain in domains:
            with suppress(VmGone), translated(vm=domain.name(), host=self.name):
                found.append(self._look_at(domain))
        return tuple(found)

    def vm(self, uuid: UUID) -> LibvirtVm:
        """A handle."""
        return LibvirtVm(self.connection, uuid, self.name, self.agent_timeout_s)

    def find(self, name: str) -> VmFacts | None:
        """By name or uuid."""
        try:
            with translated(vm=name, host=self.name):
                return facts_of(self._lookup(name))
        except VmGone:
            return None

    def reconnect(self, timeout_s: float) -> None:
        """Opens the connection again; watching goes on over the new one."""
        self.connection.reopen(timeout_s)

    def watch(self, changed: Changed) -> None:
        """Calls `changed` from a thread of its own."""
        self._watchers.append(changed)
        if len(self._watchers) > 1:
            return
        self.connection.lifecycle.listen(lambda vm, _event, _at: self._heard.put(vm))
        threading.Thread(target=self._tell, name="libvirt-watch", daemon=True).start()
        self.connection.when_open.append(self.connection.lifecycle.attach)
        with translated(host=self.name):
            self.connection.hear()

    def close(self) -> None:
        """Closes all that is open."""
        self._heard.put(None)
        self.connection.close()

    def _look_at(self, domain: Any) -> VmFacts:
        try:
            with translated(vm=domain.name(), host=self.name):
                return facts_of(domain)
        except (HostLost, VmGone):
            raise
        except StillframeError as error:
            return little_of(domain, error.detail)

    def _lookup(self, name: str) -> Any:
        connection = self.connection.main()
        try:
            return connection.lookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN or not _is_uuid(name):
                raise
        return connection.lookupByUUIDString(name)

    def _tell(self) -> None:
        while vm := self._heard.get():
            # Asked on the second connection: the first may be waiting for the very call that made the event.
            try:
                with translated(vm=vm, host=self.name):
                    self.connection.second().lookupByUUID(vm.bytes)
                change: Literal["changed", "gone"] = "changed"
            except VmGone:
                change = "gone"
            except StillframeError:
                continue  # the connection is lost: whoever reconnects looks at everything anew
            for changed in self._watchers:
                changed(vm, change)


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
