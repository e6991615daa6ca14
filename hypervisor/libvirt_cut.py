"""The cut on libvirt: every volume's head frozen and a new layer on top in one instant, with RAM or without.

Stillframe owns the chain, so libvirt keeps no snapshot metadata (NO_METADATA), and the layers and the memory file are
there beforehand (REUSE_EXT): making them would be done while the VM stands still.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import libvirt

from hypervisor import definitions, files, headers, xml
from hypervisor.connection import Connection
from hypervisor.libvirt_facts import describe, is_on, state_of
from hypervisor.long_call import Aside, LongCall
from hypervisor.port import CutFacts, Pulse, Source
from hypervisor.qemu_img import QemuImages
from hypervisor.translate import in_our_words
from stillframe.errors import (
    AgentUnresponsive,
    Cancelled,
    HypervisorFailed,
    ManagedSavePresent,
    MemoryNeedsRunning,
    VmBusy,
)
from stillframe.states import Consistency, VmState

_ALWAYS = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
)
_DISK_ONLY = _ALWAYS | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
_QUIESCED = _DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE
_MEMORY = _ALWAYS | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_LIVE

SECRETS = libvirt.VIR_DOMAIN_XML_SECURE
PERSISTENT = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE

#: How long a question that was asked aside may still be under way when the cut has ended. Seconds.
_LAST_WORD_S = 2.0


@dataclass(frozen=True)
class Cut:
    """One cut of one VM."""

    connection: Connection
    domain: Any
    layers: Mapping[str, Source]
    memory: str | None
    quiesce: bool
    pulse: Pulse

    def make(self, agent_timeout_s: int) -> CutFacts:
        """Raises errors of `stillframe.errors`, and libvirtError where they say enough."""
        if not is_on(self.domain):
            if self.memory:
                raise MemoryNeedsRunning(vm=self.domain.name(), state=VmState.OFF)
            if self.domain.hasManagedSaveImage(0):
                raise ManagedSavePresent(vm=self.domain.name())
            present = describe(self.domain, 0)
            self._check_layers(present)
            settle(self.domain, self.layers, self.connection.definitions)
            # Somebody may have started it on the old images, or defined it anew, in these milliseconds.
            self._look_again(self.domain.XMLDesc(PERSISTENT), self.domain.XMLDesc(0))
            return CutFacts(Consistency.STOPPED, 0, 0)
        live = describe(self.domain, 0)
        self._check_layers(live)
        if self.quiesce:
            self._prepare_agent(agent_timeout_s)
        ram_bytes = xml.memory_bytes_of(live) if self.memory else 0
        if self.memory:
            self.pulse(0, ram_bytes)
            files.make_empty(self.memory)
        with self.connection.hear().pauses_of(UUID(self.domain.UUIDString())) as pauses:
            took_ms = self._call(xml.snapshot_request(live, self.layers, self.memory), ram_bytes)
            pause_ms = pauses.ms()
        self._look_again(self.domain.XMLDesc(0))
        settle(self.domain, self.layers, self.connection.definitions)
        if self.memory:
            files.sync(self.memory)
            return CutFacts(Consistency.MEMORY, pause_ms, 0)
        if self.quiesce:
            return CutFacts(Consistency.FILESYSTEM, pause_ms, took_ms)
        return CutFacts(Consistency.CRASH, pause_ms, 0)

    def _check_layers(self, present: str) -> None:
        """Each layer is taken as it is: one that stands on another image would make two chains of one."""
        heads = {volume.target: volume for volume in xml.volumes_of(present)}
        for target, layer in self.layers.items():
            if target not in heads:
                raise HypervisorFailed(detail=f"the VM has no disk {target}")
            head, made = heads[target], headers.facts(layer.path, layer.format)
            if made.backing is None or not _is_same(made.backing, head.path):
                raise HypervisorFailed(
                    detail=f"{layer.path} is a layer on {made.backing}, and {target} writes to {head.path}"
                )
            # Smaller than what it stands on it would cut off the end of the volume.
            if (now := headers.facts(head.path, head.format).virtual_bytes) != made.virtual_bytes:
                raise HypervisorFailed(
                    detail=f"{target} has {now} bytes, and had {made.virtual_bytes} when its layer was made"
                )

    def _look_again(self, *definitions: str) -> None:
        for definition in definitions:
            heads = {volume.target: volume.path for volume in xml.volumes_of(definition)}
            for target, layer in self.layers.items():
                if heads.get(target) != layer.path:
                    raise HypervisorFailed(
                        detail=f"somebody else changed the VM during the cut: {target} writes to {heads.get(target)}, "
                        f"not to {layer.path}"
                    )

    def _prepare_agent(self, timeout_s: int) -> None:
        state, _ = state_of(self.domain)
        if state != VmState.RUNNING:
            raise AgentUnresponsive(vm=self.domain.name(), detail=f"the VM is {state}, and so is its agent")
        self.domain.agentSetResponseTimeout(timeout_s, 0)

    def _call(self, request: str, ram_bytes: int) -> int:
        flags = _MEMORY if self.memory else _QUIESCED if self.quiesce else _DISK_ONLY
        watch = _Watch(self.connection, self.domain, self.pulse, self.memory, ram_bytes)
        call = LongCall(lambda: self.domain.snapshotCreateXML(request, flags))
        started = time.monotonic()
        try:
            with watch:
                call.run(watch)
        except libvirt.libvirtError as error:
            self._explain(error, watch)
            raise
        took_ms = round((time.monotonic() - started) * 1000)
        # A cancel that came too late is none: the cut is whole.
        if watch.raised is not None and not isinstance(watch.raised, Cancelled):
            raise watch.raised
        return took_ms

    def _explain(self, error: libvirt.libvirtError, watch: "_Watch") -> None:
        ours = in_our_words(error, self.domain.name())
        aborted = error.get_error_code() == libvirt.VIR_ERR_OPERATION_ABORTED
        if (aborted or isinstance(ours, VmBusy)) and self.memory:
            files.remove(self.memory)
        if aborted and watch.raised is not None:
            raise watch.raised from error
        # The thaw after a cut that worked can fail as well, and its error is all that libvirt tells.
        if isinstance(ours, AgentUnresponsive) and self._is_cut():
            raise HypervisorFailed(
                detail=f"cut, but the guest was not thawed: {ours.context['detail']}"
            ) from error

    def _is_cut(self) -> bool:
        heads = {volume.path for volume in xml.volumes_of(self.domain.XMLDesc(0))}
        return bool(heads & {layer.path for layer in self.layers.values()})


class _Watch:
    """Tells how far a cut is, over the second connection, and aborts it when the pulse raises.

    libvirt is asked aside: while QEMU is busy it answers late, and the pulse must go on.
    """

    def __init__(
        self, connection: Connection, domain: Any, pulse: Pulse, memory: str | None, ram_bytes: int
    ) -> None:
        self.raised: Exception | None = None
        self._connection = connection
        self._uuid = domain.UUID()
        self._pulse = pulse
        self._memory = memory
        self._seen = (0, ram_bytes)
        self._aside = Aside()
        self._over = False

    def __enter__(self) -> "_Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._aside.wait(_LAST_WORD_S)

    def __call__(self) -> None:
        if self._memory:
            files.begin_writing_out(self._memory)
        if self.raised is None:
            try:
                self._pulse(*self._seen)
            except Exception as raised:
                self.raised = raised
        if self._memory:
            self._aside.do(self._look if self.raised is None else self._abort)

    def _look(self) -> None:
        with suppress(libvirt.libvirtError):
            stats = self._domain().jobStats()
            if done := stats.get("data_processed"):  # before QEMU has begun there is nothing in it
                # Not data_total: RAM that the guest changes meanwhile is written once more.
                self._seen = (done, done + stats.get("data_remaining", 0))

    def _abort(self) -> None:
        # Again and again: an abort before QEMU has begun, or after the RAM is written, is not heard.
        with suppress(libvirt.libvirtError):
            domain = self._domain()
            if not self._over:
                domain.abortJob()

    def _domain(self) -> Any:
        return self._connection.second().lookupByUUID(self._uuid)


def _is_same(one: str, other: str) -> bool:
    identity = QemuImages().identity
    return one == other or (identity(one) is not None and identity(one) == identity(other))


def settle(domain: Any, sources: Mapping[str, Source], folder: str) -> None:
    """Makes the persistent definition, which libvirt keeps in `folder`, name these images and nothing below them, for good.

    After a cut or a pivot libvirt does write the new head into it, but with the whole <backingStore> of that moment,
    which it believes at the next boot: a layer that was merged while the VM was off would be missed, and no boot.
    """
    if not domain.isPersistent():
        return  # to define it would make it persistent
    definition = domain.XMLDesc(PERSISTENT)
    domain.connect().defineXML(xml.with_sources(definition, sources))
    definitions.make_last(folder)
