"""One VM, in the order in which it hurts, and the repair of what was found."""

from collections.abc import Callable, Collection, Iterator

from stillframe.errors import HostLost, LostLease, StillframeError
from stillframe.findings import Finding, Kind, Repair
from stillframe.states import HELD
from workers.reconcile import chains, left_standing, parts, snapshots, standing, volumes
from workers.reconcile.look import Found, Look, words

Examiner = Callable[[Look], Iterator[Found]]

RUNNING: tuple[Examiner, ...] = (left_standing.examine, standing.frozen, standing.block_jobs, standing.paused)
ON_DISK: tuple[Examiner, ...] = (
    chains.heads,
    snapshots.damaged,
    chains.half_merged,
    snapshots.against_rows,
    volumes.examine,
    parts.examine,
    parts.marks_left,
    snapshots.folders,
    chains.layers,
)


def examine(look: Look) -> list[Found]:
    """All that is not as it should be. A VM that a job is at work on is not judged half-way."""
    for id_, job in look.unfinished.items():
        if job.state in HELD:
            detail = f"A {job.kind} job is under way, or is carried on soon."
            return [look.found(Kind.VM_BUSY, id_, detail)]
    if look.facts.unreadable:
        detail = f"libvirt cannot tell what it is: {look.facts.unreadable}."
        return [look.found(Kind.VM_UNREADABLE, look.facts.name, detail)]
    found = [one for examiner in RUNNING for one in _carefully(look, examiner)]
    try:
        _ = look.manifests, look.tree
    except HostLost:
        raise
    except (StillframeError, OSError) as error:
        detail = f"What belongs to it cannot be told: {words(error)}."
        return [*found, look.found(Kind.VM_UNREADABLE, look.facts.name, detail), *_foreign(look)]
    found += [one for examiner in ON_DISK for one in _carefully(look, examiner)]
    return [*found, *_foreign(look)]


def mended(found: Collection[Found], may: Collection[Repair]) -> list[Finding]:
    """Puts right on the machine what may be; the findings as they are after it."""
    return [_mended(one) if one.finding.repair in may else one.finding for one in found]


def _mended(found: Found) -> Finding:
    if found.act is None:
        return found.finding
    try:
        return found.finding.mended(found.act())
    except (LostLease, HostLost):
        raise
    except (StillframeError, OSError) as error:
        return found.finding.failed(words(error))


def _carefully(look: Look, examiner: Examiner) -> list[Found]:
    """One examiner that cannot look hides nothing of the others."""
    found: list[Found] = []
    try:
        found.extend(examiner(look))
    except HostLost:
        raise
    except (StillframeError, OSError) as error:
        found.append(
            look.found(Kind.VM_UNREADABLE, look.facts.name, f"It could not be looked at: {words(error)}.")
        )
    return found


def _foreign(look: Look) -> Iterator[Found]:
    """Snapshots of others: libvirt's own, and those inside images."""
    for one in look.facts.foreign_snapshots:
        known = "" if one.known_to_libvirt else ", which libvirt does not know"
        detail = f"Made by another tool ({one.kind}){known}."
        yield look.found(Kind.FOREIGN_SNAPSHOT, one.name, detail)
