"""What keeps a guest from going on as it should: a freeze, a block job without an owner, a pause that nobody ends."""

from collections.abc import Iterator

from stillframe.findings import Kind, Repair
from stillframe.rules import ALIVE
from stillframe.states import VmState
from workers import marks
from workers.reading import usable
from workers.reconcile.left_standing import left
from workers.reconcile.look import Act, Found, Look
from workers.watch_folder import Ward

#: libvirt's reasons for a pause that its own cut makes, and that a libvirtd which dies in it leaves behind.
OF_A_SNAPSHOT = frozenset({"save", "snapshot"})
COMMITS = frozenset({"commit", "active_commit"})
#: With less than this free a VM that was paused by a full disk would only be paused again. Bytes.
ROOM = 64 << 20


def frozen(look: Look) -> Iterator[Found]:
    """A freeze while no job is under way."""
    ours = any(ward.kind == "freeze" for ward in wards(look))
    if look.frozen and not ours:
        yield look.found(Kind.GUEST_FROZEN, look.facts.name, "Its filesystems are frozen, and not by a job.")


def block_jobs(look: Look) -> Iterator[Found]:
    """Merges and copies that no job waits for."""
    if look.facts.state not in ALIVE:
        return
    for volume in usable(look.facts):
        job = look.vm.block_job(volume.target)
        if job is None:
            continue
        what = f"A {job.kind} job runs on {volume.target} ({job.done} of {job.total} bytes)"
        if job.kind in COMMITS and _is_marked(look, volume.target):
            detail = f"{what}: a job began it that is not under way any more."
            yield look.found(
                Kind.BLOCK_JOB_LEFT,
                volume.target,
                detail,
                repair=Repair.REPAIR,
                act=_end(look, volume.target),
            )
        else:
            yield look.found(Kind.BLOCK_JOB_FOREIGN, volume.target, f"{what}, and not for a job.")


def paused(look: Look) -> Iterator[Found]:
    """A pause, unless a person made it."""
    facts = look.facts
    if facts.state is not VmState.PAUSED or any(ward.kind == "pause" for ward in wards(look)):
        return
    if facts.reason in OF_A_SNAPSHOT:
        if look.rows.ran_before_last_cut():
            detail = f"It stands still ({facts.reason}) since a snapshot that is not under way any more."
            yield look.found(
                Kind.VM_PAUSED,
                facts.name,
                detail,
                repair=Repair.ITSELF,
                act=_resume(look),
                remedy="Rescan with --repair.",
            )
        else:
            detail = f"It stands still ({facts.reason}), and not for a job."
            yield look.found(Kind.VM_PAUSED, facts.name, detail)
    elif facts.reason == "ioerror":
        yield _stopped_by_its_storage(look)


def _is_marked(look: Look, target: str) -> bool:
    """Whether a merge of ours into the chain of a volume is on record."""
    chain = set(look.vm.live_chain(target))
    return any(mark.top in chain for mark in marks.unfinished(look.images, look.homes))


def wards(look: Look) -> list[Ward]:
    """Its freezes and pauses on record: those are told by `left_standing`, or are a job's own."""
    return left(look.watch, look.facts.uuid, ()) if look.watch else []


def _stopped_by_its_storage(look: Look) -> Found:
    tight = [volume.path for volume in usable(look.facts) if look.images.free_bytes(volume.path) < ROOM]
    detail = "It was paused because a write to its storage failed"
    if tight:
        return look.found(
            Kind.VM_PAUSED,
            look.facts.name,
            f"{detail}, and there is no room: {', '.join(tight)}.",
            remedy="Free space there, and rescan with --repair, or `virsh resume`.",
        )
    return look.found(
        Kind.VM_PAUSED,
        look.facts.name,
        f"{detail}; there is room now.",
        repair=Repair.REPAIR,
        act=_resume(look),
        remedy="Rescan with --repair, or `virsh resume`.",
    )


def _resume(look: Look) -> Act:
    def act() -> str:
        look.vm.resume()
        now = look.vm.facts()
        return "it runs" if now.state is VmState.RUNNING else f"it is {now.state} ({now.reason}) again"

    return act


def _end(look: Look, target: str) -> Act:
    def act() -> str:
        look.vm.abort_block_job(target)
        return "the job was ended; the chain is as it was"

    return act
