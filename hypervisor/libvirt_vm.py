"""One VM on libvirt. Its cut is in `libvirt_cut.py`."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import libvirt

from hypervisor import definitions, foreign, lost_track, xml
from hypervisor.connection import Connection
from hypervisor.facts import is_migrated
from hypervisor.libvirt_cut import PERSISTENT, SECRETS, Cut, settle
from hypervisor.libvirt_facts import (
    activity_of,
    describe,
    facts_of,
    is_on,
    live_chain_of,
    state_of,
    with_pool_paths,
)
from hypervisor.long_call import LongCall, Result
from hypervisor.memory_file import is_whole
from hypervisor.port import BlockJob, CutFacts, Pulse, Source, VmFacts, VolumeFacts
from hypervisor.qemu_img import QemuImages
from hypervisor.read_so_far import ReadSoFar
from hypervisor.translate import translated
from stillframe.errors import AgentUnresponsive, HypervisorFailed, LostTrack, VmBusy, VmGone
from stillframe.states import VmState

_JOB_KINDS = {
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_PULL: "pull",
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY: "copy",
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT: "commit",
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT: "active_commit",
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP: "backup",
}
_HEAD = libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE
_PIVOT = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
#: Without it libvirt brings back the RAM of a managed save, which belongs to other images.
_BOOT = libvirt.VIR_DOMAIN_START_FORCE_BOOT

#: Keepalive ends calls to a daemon that hangs; these end calls for which the daemon waits, on a QEMU that hangs.
LIMIT_S = 120.0
#: What is only looked at is not worth waiting for.
LOOK_S = 2.0
#: Much RAM to be allocated and pinned takes minutes.
BOOT_LIMIT_S = 600.0
#: QEMU stands still while it walks the tables of images of terabytes.
DELETE_LIMIT_S = 600.0


class LibvirtVm:
    """`hypervisor.port.Vm` on libvirt; it is looked up anew for every call, so it outlives reconnects."""

    def __init__(self, connection: Connection, uuid: UUID, host: str, agent_timeout_s: int) -> None:
        self.uuid = uuid
        self._connection = connection
        self._host = host
        self._agent_timeout_s = agent_timeout_s
        self._name: object = uuid

    def facts(self) -> VmFacts:
        """All that is known of it."""
        with self._domain() as domain:
            return facts_of(domain)

    def definition(self) -> str:
        """The persistent definition, with secrets."""
        with self._domain() as domain:
            return describe(domain, PERSISTENT)

    def running_definition(self) -> str:
        """What a save image would hold."""
        with self._domain() as domain:
            return describe(
                domain, SECRETS | libvirt.VIR_DOMAIN_XML_MIGRATABLE if is_on(domain) else PERSISTENT
            )

    def disks_of(self, definition: str) -> tuple[VolumeFacts, ...]:
        """The disks of a definition."""
        return xml.volumes_of(definition)

    def cut(self, layers: Mapping[str, Source], memory: str | None, quiesce: bool, pulse: Pulse) -> CutFacts:
        """Puts `layers` on top of the volumes, in one instant."""
        if memory and quiesce:
            raise HypervisorFailed(detail="a cut with memory cannot be quiesced")
        with self._domain() as domain:
            return Cut(self._connection, domain, layers, memory, quiesce, pulse).make(self._agent_timeout_s)

    def unnoted(self, layers: Mapping[str, Source]) -> dict[str, Source]:
        """What QEMU has open and libvirt has not noted."""
        with self._domain() as domain:
            noted = {volume.path for volume in xml.volumes_of(describe(domain, 0))}
            return lost_track.unnoted(domain, layers, noted)

    def take_back(self, target: str, layer: str, pulse: Pulse, leaving: Callable[[], object]) -> None:
        """Undoes a cut of one volume that libvirt has not noted."""
        if self.unnoted({target: Source(layer, "qcow2")}):
            with self._domain() as domain:
                lost_track.take_back(domain, target, layer, pulse, leaving)

    def let_go(self, path: str) -> bool:
        """QEMU closes what libvirt has not told it to."""
        with self._domain() as domain:
            return lost_track.let_go(domain, path)

    def stop(self) -> None:
        """Power off."""
        with self._domain() as domain:
            try:
                self._within(LIMIT_S, "stop it", lambda: domain.destroyFlags(0))
            except libvirt.libvirtError:
                if is_on(domain):
                    raise
            if domain.hasManagedSaveImage(0):
                domain.managedSaveRemove(0)

    def start(self, paused: bool = False) -> None:
        """Boots it."""
        with self._domain() as domain:
            if is_on(domain):
                return
            try:
                flags = _BOOT | (libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)
                self._within(BOOT_LIMIT_S, "start it", lambda: domain.createWithFlags(flags))
            except libvirt.libvirtError:
                if not is_on(domain):
                    raise

    def pause(self) -> None:
        """Lets it stand still."""
        with self._domain() as domain:
            if state_of(domain)[0] == VmState.RUNNING:
                self._within(LIMIT_S, "pause it", domain.suspend)

    def resume(self) -> None:
        """Lets it run."""
        with self._domain() as domain:
            if state_of(domain)[0] == VmState.RUNNING:
                return
            try:
                self._within(LIMIT_S, "resume it", domain.resume)
            except libvirt.libvirtError:
                if state_of(domain)[0] != VmState.RUNNING:
                    raise

    def define(self, definition: str, sources: Mapping[str, Source]) -> None:
        """Another persistent definition, on these images."""
        with self._domain() as domain:
            domain.connect().defineXML(xml.with_sources(definition, sources, domain.name()))
            definitions.make_last(self._connection.definitions)

    def saved_definition(self, memory: str) -> str:
        """The definition in a memory file."""
        with translated(vm=self._name, host=self._host):
            connection = self._connection.main()
            definition = with_pool_paths(connection, connection.saveImageGetXMLDesc(memory, SECRETS))
        if not is_whole(memory):
            raise HypervisorFailed(
                detail=f"{memory} is cut short: the end of the RAM is missing", path=memory
            )
        return definition

    def restore(self, memory: str, sources: Mapping[str, Source], pulse: Pulse | None = None) -> None:
        """RAM comes back, on other images."""
        definition = self.saved_definition(memory)
        raised: list[Exception] = []
        read = ReadSoFar(memory)

        def meanwhile() -> None:
            try:
                if pulse is not None and not raised:
                    pulse(*read.look())
            except Exception as error:
                raised.append(error)

        with self._domain() as domain:
            live = xml.with_sources(definition, sources, domain.name())
            connection = domain.connect()
            LongCall(lambda: connection.restoreFlags(memory, live, 0)).run(meanwhile)
        if raised:
            raise raised[0]

    def revert_internal(self, name: str) -> None:
        """Back to an internal snapshot, by libvirt."""
        with self._domain() as domain:
            snapshot = domain.snapshotLookupByName(name, 0)
            # As long as reading the RAM takes: libvirt tells no progress of it.
            LongCall(lambda: domain.revertToSnapshot(snapshot, 0)).run(lambda: None)
            definitions.make_last(self._connection.definitions)

    def delete_internal(self, name: str) -> None:
        """An internal snapshot less, by libvirt, which is told of it first if it does not know it."""
        with self._domain() as domain:
            found = next((one for one in facts_of(domain).foreign_snapshots if one.name == name), None)
            if found is None:
                return
            if found.kind != "internal":
                raise HypervisorFailed(detail=f"snapshot {name!r} is {found.kind}, not internal")
            if found.known_to_libvirt:
                snapshot = domain.snapshotLookupByName(name, 0)
            else:
                record = foreign.record_for(found, describe(domain, PERSISTENT))
                snapshot = domain.snapshotCreateXML(record, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)
            self._within(DELETE_LIMIT_S, "delete an internal snapshot", lambda: snapshot.delete(0))

    def block_job(self, target: str) -> BlockJob | None:
        """The job on a volume."""
        with self._domain() as domain:
            try:
                said = self._within(LIMIT_S, "look at a block job", lambda: domain.blockJobInfo(target, 0))
            except libvirt.libvirtError:
                if is_on(domain):
                    raise
                return None
            if not said:
                return None
            # All bytes moved is not enough: until libvirt has heard of it from QEMU, a pivot is an error.
            into, ready = xml.mirror_of(describe(domain, 0), target) or (None, False)
            kind = _JOB_KINDS.get(said["type"], "unknown")
            return BlockJob(kind, said["cur"], said["end"], ready, into)

    def start_commit(self, target: str, top: str, base: str) -> None:
        """Begins to merge."""
        with self._domain() as domain:
            definition = describe(domain, 0)
            chain = xml.chain_of(definition, target)
            words = (None, 0, _HEAD) if chain[:1] == (top,) else (top, 0, 0)
            try:
                self._within(LIMIT_S, "begin a merge", lambda: domain.blockCommit(target, base, *words))
            except libvirt.libvirtError as error:
                if left_for := lost_track.gone_on(domain, top, base, error):
                    settle(domain, {target: left_for}, self._connection.definitions)
                    raise LostTrack(vm=domain.name(), target=target, path=base) from error
                if lost_track.names_what_is_gone(domain, definition, chain):
                    raise LostTrack(vm=domain.name(), target=target, path=chain[0]) from error
                raise

    def pivot(self, target: str) -> None:
        """Ends a ready merge of the head."""
        with self._domain() as domain:
            self._within(LIMIT_S, "pivot", lambda: domain.blockJobAbort(target, _PIVOT))
            settle(domain, {}, self._connection.definitions)

    def abort_block_job(self, target: str) -> None:
        """Ends a merge; the chain stays."""
        with self._domain() as domain:

            def abort() -> None:
                if domain.blockJobInfo(target, 0):
                    domain.blockJobAbort(target, 0)

            self._within(LIMIT_S, "abort a block job", abort)

    def live_chain(self, target: str) -> tuple[str, ...]:
        """A volume's images, head first."""
        with self._domain() as domain:
            definition = describe(domain, 0)
            if is_on(domain):
                return live_chain_of(domain, definition, target)
        for volume in xml.volumes_of(definition):
            if volume.target == target and volume.path:
                return tuple(image.path for image in QemuImages().chain(volume.path, volume.format))
        return ()

    def activity(self) -> str | None:
        """What libvirt is at with it."""
        try:
            with self._domain() as domain:
                if not is_on(domain):
                    return None
                return self._within(LOOK_S, "say what it is at", lambda: activity_of(domain))
        except (HypervisorFailed, VmBusy):
            return None  # it has ended meanwhile, or nobody answers

    def await_turn(self, pulse: Pulse) -> None:
        """Takes away a word that is not in its metadata: like every change that waits its turn, for 30 s at the most."""
        with self._domain() as domain:
            where = (
                libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else libvirt.VIR_DOMAIN_AFFECT_LIVE
            )
            element = libvirt.VIR_DOMAIN_METADATA_ELEMENT
            turn = LongCall(lambda: domain.setMetadata(element, None, None, xml.TURN_URI, where))
            turn.beside(lambda: pulse(0, 0), self._connection.abandon)

    def abort_activity(self) -> None:
        """Has it given up."""
        with self._domain() as domain:
            try:
                self._within(LIMIT_S, "give up what it is at", domain.abortJob)
            except libvirt.libvirtError:
                if is_on(domain) and activity_of(domain):
                    raise

    def is_frozen(self) -> bool | None:
        """What the agent says."""
        try:
            with self._domain() as domain:
                if state_of(domain)[0] != VmState.RUNNING:
                    return None
                domain.agentSetResponseTimeout(self._agent_timeout_s, 0)
                # A frozen agent refuses all but a few commands, and says why. Asking guest-fsfreeze-status
                # itself would need a raw agent command, which marks the VM as tainted.
                self._within(LIMIT_S, "ask the guest's agent", domain.getTime)
        except AgentUnresponsive as error:
            return True if "frozen state" in error.context["detail"] else None
        except HypervisorFailed:
            return None
        return False

    def thaw(self) -> None:
        """Thaws."""
        with self._domain() as domain:
            if is_on(domain):
                domain.agentSetResponseTimeout(self._agent_timeout_s, 0)
            self._within(LIMIT_S, "thaw", domain.fsThaw)

    def set_clock(self) -> None:
        """Best effort."""
        now = time.time()
        with suppress(AgentUnresponsive, HypervisorFailed), self._domain() as domain:
            at = {"seconds": int(now), "nseconds": int(now % 1 * 1e9)}
            self._within(LIMIT_S, "set the clock", lambda: domain.setTime(at, 0))

    def note(self, text: str) -> None:
        """Keeps a text, live and persistent."""
        with self._domain() as domain:
            where = libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else 0
            if is_on(domain):
                where |= libvirt.VIR_DOMAIN_AFFECT_LIVE
            element = libvirt.VIR_DOMAIN_METADATA_ELEMENT
            domain.setMetadata(element, xml.note_element(text), xml.NOTE_PREFIX, xml.NOTE_URI, where)

    def _within(self, limit_s: float, what: str, call: Callable[[], Result]) -> Result:
        return LongCall(call).within(limit_s, what, self._connection.abandon)

    @contextmanager
    def _domain(self) -> Iterator[Any]:
        with translated(vm=self._name, host=self._host):
            domain = self._connection.main().lookupByUUID(self.uuid.bytes)
            self._name = domain.name()
            if is_migrated(*state_of(domain)):
                raise VmGone(vm=self._name, host=self._host)
            yield domain
