"""Every refusal and failure by a stable code, a plain sentence and a remedy.

The docstring of an error is its sentence, filled with the context it is raised with.
Which HTTP status and exit code an error has are tables of the web and the CLI. docs/problems.md is made from this file.
"""

from collections.abc import Mapping
from typing import Any, Self


class StillframeError(Exception):
    """Something went wrong that Stillframe has no better word for: {detail}"""

    code: str = "internal"
    remedy: str = "Look at the job's events and evidence; if they do not explain it, report it."
    #: The HTTP status it came with; 0 for one that was raised here.
    status: int = 0
    _told: str | None = None

    def __init__(self, **context: Any) -> None:
        self.context = context
        super().__init__(self.detail)

    @classmethod
    def from_json(cls, told: Mapping[str, Any], status: int = 0) -> Self:
        """The error that another process told of, in that one's words: its version may word it otherwise."""
        error = cls.__new__(cls)
        error.code, error.remedy, error.status = str(told["code"]), str(told.get("remedy") or ""), status
        error._told = str(told["detail"])
        error.context = dict(told.get("evidence") or {})
        error.args = (error._told,)
        return error

    @property
    def detail(self) -> str:
        """One plain sentence that says what is wrong, with the names and numbers of this case."""
        if self._told is not None:
            return self._told
        template = " ".join((self.__doc__ or "").split())
        try:
            return template.format_map(self.context)
        except KeyError:
            return template

    def to_json(self) -> dict[str, Any]:
        """The form in which an error is kept on a job and shown to people."""
        remedy = self.remedy if self._told is not None else self.remedy.format_map(_Blank(self.context))
        return {
            "code": self.code,
            "detail": self.detail,
            "remedy": remedy,
            "evidence": self.evidence,
        }

    @property
    def evidence(self) -> dict[str, Any]:
        """The names and numbers of this case, as plain JSON values."""
        return {key: _plain(value) for key, value in self.context.items()}


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


# --- families: what the reader must do about it -------------------------------------------------


class NotFound(StillframeError):
    """There is no such thing: {what}"""

    code = "not_found"
    remedy = "Check the name or id."


class Invalid(StillframeError):
    """The request cannot be understood: {detail}"""

    code = "request.invalid"
    remedy = "Correct the request and ask again."


class Refused(StillframeError):
    """This cannot be done as things stand: {detail}"""

    code = "refused"
    remedy = "Change what blocks it and ask again."


class NotNow(StillframeError):
    """Something else is in the way for the moment: {detail}"""

    code = "not_now"
    remedy = "Nothing was done; ask again in a while."


class HostLost(StillframeError):
    """The connection to libvirt on this host was lost: {detail}"""

    code = "host.connection_lost"
    remedy = "Check that libvirtd runs on the host; the job goes on by itself when it is back."


class HypervisorFailed(StillframeError):
    """libvirt or QEMU failed: {detail}"""

    code = "hypervisor.failed"
    remedy = "The evidence holds what the machine said and how it was found afterwards."


class LostTrack(HypervisorFailed):
    """libvirt lost track of {target} of VM "{vm}": QEMU writes to {path} since a merge, and libvirt died before it noted that."""

    code = "vm.lost_track"
    remedy = (
        "Power the VM off and start it again: its definition names the right image by now. Then resume the job: "
        "stillframe job recover ID --resume."
    )


class StorageFull(StillframeError):
    """No room was left on the host in the middle of the job: {detail}"""

    code = "storage.full"
    remedy = "Free space there (delete old snapshots, move files away) and ask again."


class Cancelled(StillframeError):
    """The job was cancelled on request."""

    code = "job.cancelled"
    remedy = "Ask again if it is still wanted."


class LostLease(StillframeError):
    """Another worker has taken over job {job}; this one must not write any more."""

    code = "job.lease_lost"


class LostRace(StillframeError):
    """{what} was expected to be {expected} but is {found}."""

    code = "state.lost_race"
    remedy = "It has changed meanwhile: look again and ask again."


# --- who is asking --------------------------------------------------------------------------------


class KeyMissing(StillframeError):
    """This needs an API key."""

    code = "key.missing"
    remedy = "Send `Authorization: Bearer <key>`; the CLI reads STILLFRAME_KEY."


class Forbidden(StillframeError):
    """This needs the right "{right}", which this key does not have."""

    code = "right.missing"
    remedy = "Ask with a key that has it, or ask an administrator for one."


class BeyondOwn(Forbidden):
    """{what} goes beyond what this key may do itself."""

    code = "right.beyond_own"
    remedy = "Give less, or ask an administrator who may."


class KeyRefused(StillframeError):
    """The API key is not known, has expired or was revoked."""

    code = "key.refused"
    remedy = "Ask an administrator for a new key."


# --- things that are not there ------------------------------------------------------------------


class AccountNotFound(NotFound):
    """There is no account "{account}"."""

    code = "account.not_found"
    remedy = "`stillframe account list` shows the accounts."


class DomainNotFound(NotFound):
    """There is no domain "{domain}"."""

    code = "domain.not_found"
    remedy = "`stillframe domain list` shows the domains."


class KeyNotFound(NotFound):
    """There is no key "{key}"."""

    code = "key.not_found"
    remedy = "`stillframe key list` shows the keys."


class VmNotFound(NotFound):
    """There is no VM "{vm}"."""

    code = "vm.not_found"
    remedy = "`stillframe vm list` shows the VMs that are known; a VM's uuid works as well as its name."


class VmNameAmbiguous(Invalid):
    """The name "{vm}" belongs to several VMs: {candidates}."""

    code = "vm.name_ambiguous"
    remedy = "Use the VM's uuid."


class VmGone(NotFound):
    """VM "{vm}" is no longer on host {host}."""

    code = "vm.gone"
    remedy = (
        "If it was moved, ask again once its new host has registered it; "
        "`stillframe snapshot list --vm {vm} --gone` shows the snapshots it had."
    )


class SnapshotNotFound(NotFound):
    """There is no snapshot "{snapshot}"."""

    code = "snapshot.not_found"
    remedy = "`stillframe snapshot list` shows the snapshots that exist."


class VolumeNotFound(NotFound):
    """The {where} has no volume "{target}"; it has: {targets}."""

    code = "volume.not_found"
    remedy = "Name one of the volumes that exist, such as vda."


class VolumeSnapshotNotFound(NotFound):
    """There is no volume snapshot "{volume}"."""

    code = "volume_snapshot.not_found"
    remedy = "`stillframe volume list` shows those that exist."


class JobNotFound(NotFound):
    """There is no job "{job}"."""

    code = "job.not_found"
    remedy = "`stillframe job list` shows the jobs."


class HostNotFound(NotFound):
    """There is no host "{host}"."""

    code = "host.not_found"
    remedy = "`stillframe host list` shows the hosts; a host registers itself when its worker starts."


class PolicyNotFound(NotFound):
    """There is no policy "{policy}"."""

    code = "policy.not_found"
    remedy = "`stillframe policy list` shows the policies."


class PolicyNameAmbiguous(Invalid):
    """The name "{policy}" belongs to several policies: {candidates}."""

    code = "policy.name_ambiguous"
    remedy = "Name the policy by its id."


class AccountNameTaken(Refused):
    """There is an account "{account}" already."""

    code = "account.name_taken"
    remedy = "Choose another name: it is the account's alone, in all domains."


class DomainNameTaken(Refused):
    """There is a domain "{domain}" already."""

    code = "domain.name_taken"
    remedy = "Choose another name."


class QuotaExceeded(Refused):
    """This would be more than allowed: {whose} may have {limit} {what}, and has {used}."""

    code = "quota.exceeded"
    remedy = (
        "Delete what is not needed (of jobs: wait until one is over), or ask an administrator for more; "
        "`stillframe account show` has the figures, and of a domain `stillframe domain show`."
    )


class VmHasJobs(Refused):
    """VM "{vm}" cannot be given away while job {job} is not over."""

    code = "vm.has_jobs"
    remedy = "Wait for its jobs, or cancel them, and ask again."


class RightsNotOfRole(Invalid):
    """A key of the role {role} cannot have the rights {rights}. It can have: {has}."""

    code = "key.rights_not_of_role"
    remedy = "Leave those out, or give it a role that has them; the role is how far it sees."


# --- requests that cannot be ------------------------------------------------------------------------


class NameInvalid(Invalid):
    """ "{name}" cannot be the name of a {what}: {why}."""

    code = "name.invalid"
    remedy = (
        "A name has 1 to 64 of the characters a-z A-Z 0-9 . _ - and begins with a letter or digit. "
        "Any other words (Hangul, spaces, ...) go into the display name."
    )


class DisplayNameInvalid(Invalid):
    """The display name cannot be used: {why}."""

    code = "display_name.invalid"
    remedy = "A display name has 1 to 255 characters of any script, without control characters."


class NameTaken(Refused):
    """VM "{vm}" already has a snapshot named "{name}"."""

    code = "snapshot.name_taken"
    remedy = "Choose another name, or delete the snapshot that has it."


class VolumeNameTaken(Refused):
    """There is already a volume snapshot named "{name}"."""

    code = "volume_snapshot.name_taken"
    remedy = "Choose another name."


class VolumeSnapshotNotReady(Refused):
    """Volume snapshot "{volume}" is {state}."""

    code = "volume_snapshot.not_ready"
    remedy = "Wait for the job that makes it, or cancel that; one in error can be deleted."


class VolumeDeletionAsked(Refused):
    """Volume snapshot "{volume}" is already to be deleted, by job {job}."""

    code = "volume_snapshot.deletion_asked"
    remedy = "Wait for that job, or cancel it (`stillframe job cancel`) and ask again."


class VolumeInUse(Refused):
    """The image of volume snapshot "{volume}" is needed by {by}: {path}"""

    code = "volume_snapshot.in_use"
    remedy = "Detach it there, or let what stands on it stand on its own (`qemu-img convert`), and ask again."


class PolicyNameTaken(Refused):
    """There is already a policy named "{name}"."""

    code = "policy.name_taken"
    remedy = "Choose another name, or edit that policy."


class PolicyMatchesNothing(Refused):
    """The selector matches no VM at this moment."""

    code = "policy.matches_nothing"
    remedy = (
        "Check names and tags with `stillframe vm list`; to mean VMs that are still to come, ask with `allow_empty` "
        "(`--allow-empty`)."
    )


class PolicyTooFast(Refused):
    """It fires {gap} after the last time, and of its {vms} VMs the quickest, "{vm}", lately took {took} for a snapshot."""

    code = "policy.too_fast"
    remedy = (
        "Let it fire less often. If its storage is faster now, take some snapshots of its VMs by hand: "
        "the last five of each VM count."
    )


class MemoryNeedsRunning(Refused):
    """A memory snapshot needs a running VM, and "{vm}" is {state}."""

    code = "snapshot.memory_needs_running"
    remedy = "Start the VM first, or take a cold snapshot (type cold)."


class HotNeedsRunning(Refused):
    """A hot snapshot needs a running VM, and "{vm}" is {state}."""

    code = "snapshot.hot_needs_running"
    remedy = "Take a cold snapshot (type cold), or start the VM first."


class ColdNeedsStopped(Refused):
    """A cold snapshot needs a stopped VM, and "{vm}" is {state}."""

    code = "snapshot.cold_needs_stopped"
    remedy = "Shut the VM down first, or take a hot or memory snapshot while it runs."


class SnapshotNotReady(Refused):
    """Snapshot "{snapshot}" is {state}, not ready."""

    code = "snapshot.not_ready"
    remedy = (
        "Wait until it is ready; `stillframe job list --vm VM` shows what it is waiting for. "
        "One in error can only be deleted."
    )


class SnapshotDamaged(Refused):
    """Snapshot "{snapshot}" is not whole on the host: {missing}."""

    code = "snapshot.damaged"
    remedy = "It can be deleted. If files were moved away by hand, bring them back and ask again."


class DeletionAsked(Refused):
    """Snapshot "{snapshot}" is already to be deleted, by job {job}."""

    code = "snapshot.deletion_asked"
    remedy = "Wait for that job, or cancel it (`stillframe job cancel`) and ask again."


class SnapshotHeld(Refused):
    """Snapshot "{snapshot}" of VM "{vm}" is held by {by} until {until}: {reason}"""

    code = "snapshot.held"
    remedy = "If it may go, release it (`stillframe snapshot release {vm}/{snapshot}`) and ask again."


class SnapshotInUse(Refused):
    """Snapshot "{snapshot}" is wanted by job {job}, which has not ended."""

    code = "snapshot.in_use"
    remedy = "Delete it once that job is over, or cancel the job."


class KeptByPolicy(Refused):
    """Policy "{policy}" keeps snapshot "{snapshot}" by now: {why}."""

    code = "snapshot.kept_by_policy"
    remedy = "Nothing is wrong: it is deleted when the policy lets it go."


class NothingToDelete(Refused):
    """Nothing is left to be deleted, of {count}: {why}"""

    code = "snapshot.nothing_to_delete"
    remedy = "Look at the snapshots as they are now."


class ForeignTogether(Refused):
    """Snapshot "{snapshot}" was made by another tool, and cannot be deleted together with others."""

    code = "snapshot.foreign_together"
    remedy = "Delete it by itself."


class DeletionsRefused(Refused):
    """{count} of {of} snapshots cannot be deleted, so nothing was asked for: {why}"""

    code = "snapshot.deletions_refused"
    remedy = "Leave those out, or change what blocks them; the evidence has each with its reason and remedy."


class AfterNotForMemory(Refused):
    """Reverting to a memory snapshot brings the VM back running; `after: {after}` does not apply."""

    code = "revert.after_not_for_memory"
    remedy = "Leave `after` out, and stop the VM afterwards if wanted."


class IdempotencyMismatch(Invalid):
    """The idempotency key "{key}" was used before for a different request."""

    code = "idempotency.mismatch"
    remedy = "Use a new key for a new request."


class IdempotencyInFlight(NotNow):
    """The request that first came with the idempotency key "{key}" is still being written down."""

    code = "idempotency.in_flight"
    remedy = "Ask again in a moment with the same key: the answer is that of the first request."


class JobNotCancellable(Refused):
    """Job {job} {ended}; there is nothing to cancel."""

    code = "job.not_cancellable"
    remedy = "`stillframe job show` tells how it ended."


class PastNoReturn(Refused):
    """Job {job} has passed its point of no return (it is at {phase}): it can only go forward."""

    code = "job.past_no_return"
    remedy = "Wait for its end (`stillframe job watch {job}`); what it did can be undone by asking for something else."


class JobNotStuck(Refused):
    """Job {job} is {state}, not stuck: there is nothing for a person to decide."""

    code = "job.not_stuck"
    remedy = "`stillframe job show` tells how it goes; one that runs can be cancelled."


class RollbackTooLate(Refused):
    """Job {job} has passed its point of no return (it is at {phase}): it cannot be walked back."""

    code = "job.rollback_too_late"
    remedy = (
        "Remove what is in the way and let it go on (`stillframe job recover {job} --resume`), or put the VM right by "
        "hand and close the job (`--mark-done`)."
    )


class ClosedByHand(StillframeError):
    """Job {job} was closed by {by}, and what it was for is not there: {found}."""

    code = "job.closed"
    remedy = "Nothing more is done by it. Look at the VM, and ask again for what is still wanted."


class ClosedUnseen(StillframeError):
    """Job {job} was closed by {by} while {why}: nobody has looked at the VM."""

    code = "job.closed_unseen"
    remedy = "Once it can be looked at, do so before anything else is asked of the VM (`stillframe vm show`)."


class JobNotRetryable(Refused):
    """Job {job} is {state}: there is nothing to ask for again."""

    code = "job.not_retryable"
    remedy = "A job that failed, was cancelled or skipped, or has expired can be asked for again."


class JobExpired(StillframeError):
    """The job was not begun within {start_within_s} s: {why}."""

    code = "job.expired"
    remedy = "Nothing was done. Ask again when what held it up is over, or with a longer `start_within_s`."


class JobTimedOut(StillframeError):
    """The job did not end within {timeout_s} s, and was stopped at {phase}."""

    code = "job.timed_out"
    remedy = "What it had done was taken back. Ask again with a longer `timeout_s`."


class WorkersDied(StillframeError):
    """{deaths} workers died holding this job, the last at {phase}."""

    code = "job.workers_died"
    remedy = (
        "Look into the worker's log for why it dies (memory? a crash of libvirt's library?), then "
        "`stillframe job recover {job} --inspect`."
    )


class HostDraining(Refused):
    """Host {host} takes no new jobs: it was drained by {by} ({reason})."""

    code = "host.draining"
    remedy = "Ask again after `stillframe host undrain {host}`, or move the VM to another host."


class RescanNotFound(NotFound):
    """There is no rescan "{rescan}" of host {host}."""

    code = "rescan.not_found"
    remedy = "`stillframe host rescan HOST` begins one."


class SnapshotLost(StillframeError):
    """Nothing of snapshot "{snapshot}" was found on host {host}: its manifest is not in {folder}."""

    code = "snapshot.lost"
    remedy = "Bring that folder back and rescan with --adopt, or delete the snapshot."


class DeletionUnfinished(StillframeError):
    """The deletion of snapshot "{snapshot}" was begun and not ended: what it froze may have been written into."""

    code = "snapshot.deletion_unfinished"
    remedy = "Delete it again: the deletion goes on where it stood."


class VolumeSnapshotLost(StillframeError):
    """The image of volume snapshot "{volume}" was not found on host {host}: {path} is gone."""

    code = "volume_snapshot.lost"
    remedy = "Bring the file back and rescan with --adopt, or delete the volume snapshot."


# --- what the machine does not allow ---------------------------------------------------------------


class AgentUnresponsive(Refused):
    """The guest agent of VM "{vm}" does not answer, and quiesce is required: {detail}"""

    code = "vm.agent_unresponsive"
    remedy = "Install or start qemu-guest-agent in the guest, or ask with quiesce prefer or never."


class NoUsableVolume(Refused):
    """VM "{vm}" has no volume that can be snapshotted: {why}."""

    code = "vm.no_usable_volume"
    remedy = "Stillframe snapshots file and block volumes (raw, qcow2) that are writable and not shared."


class VmTransient(Refused):
    """VM "{vm}" is transient: it would vanish when stopped, with its snapshots."""

    code = "vm.transient"
    remedy = "Define it (`virsh define`) and ask again."


class VmBusy(NotNow):
    """VM "{vm}" is busy with something that Stillframe did not begin: {detail}"""

    code = "vm.busy"
    remedy = "Wait until it has ended (`virsh domjobinfo`, `virsh blockjob`) and ask again."


class ManagedSavePresent(Refused):
    """VM "{vm}" has a managed save image, which would be lost or no longer fit its disks."""

    code = "vm.managed_save"
    remedy = "Start the VM, or remove the image (`virsh managedsave-remove`), and ask again."


class NotEnoughSpace(Refused):
    """{where} has {free_bytes} bytes free, and {needed_bytes} are needed for {what}."""

    code = "storage.not_enough_space"
    remedy = "Free space there (delete old snapshots, move files away) and ask again."


class VmDrifted(Refused):
    """VM "{vm}" writes to {path} ({target}), which {why}: its definition was changed from outside."""

    code = "vm.drifted"
    remedy = (
        "Nothing was touched. Point {target} back at the layer it had (`virsh edit`; the newest in its folder), or "
        "keep what it is now as a disk of its own, and ask again."
    )


class ManifestMissing(Refused):
    """The manifest of snapshot "{snapshot}" of VM "{vm}" is not in {folder}: which layers it needs is not known."""

    code = "vm.manifest_missing"
    remedy = "Nothing was touched. Bring that folder back, or delete that snapshot first, and ask again."


class ForeignSnapshots(Refused):
    """VM "{vm}" has snapshots made by others ({names}): theirs and those of Stillframe would break each other."""

    code = "vm.foreign_snapshots"
    remedy = "Delete them first (`virsh snapshot-delete`; internal ones also by `stillframe snapshot delete`), and ask again."


class VmHeld(NotNow):
    """Another process on the host is still at work on VM "{vm}"."""

    code = "vm.held"
    remedy = "It is tried again when that has ended."


class ChainTooDeep(Refused):
    """Volume {target} of VM "{vm}" stands on {depth} layers, and {limit} are the most."""

    code = "vm.chain_too_deep"
    remedy = "Delete snapshots of this VM that are not needed any more, and ask again."


class MemoryWithPassthrough(Refused):
    """The memory of VM "{vm}" cannot be saved: it has devices of the host ({devices})."""

    code = "vm.passthrough"
    remedy = "Take a hot snapshot (disks only), or detach the devices first."


class VmMigrating(NotNow):
    """VM "{vm}" is being migrated."""

    code = "vm.migrating"
    remedy = "Ask again when it has arrived."


class LayerHalfMerged(Refused):
    """{path} is half merged (with {top}): alone it is neither the one nor the other."""

    code = "layer.half_merged"
    remedy = "Nothing was touched. Let the deletion that began it end (ask for it again); do not boot or copy {path} alone."


class FreezeTooLong(Refused):
    """The filesystems of VM "{vm}" were thawed after {budget_s} s, before its volumes were cut, and quiesce is required."""

    code = "vm.freeze_too_long"
    remedy = "Ask again at a quieter time, with a larger STILLFRAME_FREEZE_BUDGET_S, or with quiesce prefer."


class NotSurelyFrozen(Refused):
    """The filesystems of VM "{vm}" may have been thawed before its volumes were cut: who cut them died. Quiesce is required."""

    code = "vm.not_surely_frozen"
    remedy = "Nothing was kept. Ask again, or with quiesce prefer."


class NotOnRecord(HypervisorFailed):
    """A {kind} of VM "{vm}" was not begun, for it could not be put on record for the watchdog: {detail}"""

    code = "host.not_on_record"
    remedy = "Make room in STILLFRAME_WATCH_FOLDER on the host, or mend it, and ask again."


class PauseTooLong(HypervisorFailed):
    """VM "{vm}" stood still for more than {budget_s} s while its RAM was saved; it was let go, and nothing was cut."""

    code = "vm.pause_too_long"
    remedy = "Look why the storage of its RAM is slow; ask again with a larger STILLFRAME_PAUSE_BUDGET_S, or for type hot."


class ForeignCannot(Refused):
    """Snapshot "{snapshot}" was made by another tool, and cannot be used for this: {why}."""

    code = "snapshot.foreign"
    remedy = (
        "Use the tool that made it (`virsh snapshot-list --domain VM`), or take a snapshot with Stillframe."
    )


class ForeignInternalSnapshots(Refused):
    """VM "{vm}" has internal snapshots made by others ({names}), which new layers would break."""

    code = "vm.foreign_internal_snapshots"
    remedy = "Delete them first (`stillframe snapshot delete`, `virsh snapshot-delete`), and ask again."


class QemuImgFailed(HypervisorFailed):
    """qemu-img {verb} failed with exit code {rc}: {stderr}"""

    code = "image.failed"


# --- what only HTTP has ---------------------------------------------------------------------------


class RouteNotFound(NotFound):
    """There is nothing at {path}."""

    code = "request.route_not_found"
    remedy = "/docs lists what there is."


class MethodNotAllowed(Invalid):
    """{path} does not understand {method}."""

    code = "request.method_not_allowed"
    remedy = "The Allow header says which methods it knows; /docs lists them all."


class BodyNotJson(Invalid):
    """The body cannot be read as JSON: {why}."""

    code = "request.body_not_json"
    remedy = "Send one JSON object in UTF-8 with `Content-Type: application/json`."


class BodyTooLarge(Invalid):
    """The body is larger than {limit_bytes} bytes."""

    code = "request.body_too_large"
    remedy = "Send less."


class DatabaseUnavailable(StillframeError):
    """The database does not answer."""

    code = "database.unavailable"
    remedy = "Nothing is lost; ask again in a while. /readyz tells when it is back."


class MigrationsMissing(StillframeError):
    """The database does not have the tables of this version."""

    code = "database.migrations_missing"
    remedy = "Run `python -m models upgrade`."


class CursorInvalid(Invalid):
    """The cursor does not belong to this list."""

    code = "request.cursor_invalid"
    remedy = "Send a cursor as `next_cursor` gave it, with the same sort; or begin without one."


class SnapshotChanged(Refused):
    """Snapshot "{snapshot}" has been edited since it was read."""

    code = "snapshot.changed"
    remedy = "Read it again, look at what changed, and send the new ETag as If-Match."


class ApiUnreachable(StillframeError):
    """The API at {url} does not answer: {why}."""

    code = "api.unreachable"
    remedy = "Check STILLFRAME_URL, and that the API runs (/healthz)."


class WebhookNotFound(NotFound):
    """There is no webhook "{webhook}"."""

    code = "webhook.not_found"
    remedy = "`stillframe webhook list` shows those that exist."


class DeliveryNotFound(NotFound):
    """Webhook {webhook} has no delivery "{delivery}"."""

    code = "webhook.delivery_not_found"
    remedy = "`stillframe webhook deliveries {webhook}` shows them."


class WebhookNotActive(Refused):
    """Webhook {webhook} is {state}: nothing is sent to it."""

    code = "webhook.not_active"
    remedy = "`stillframe webhook resume {webhook}` lets it go on."


class WebhooksNotSetUp(Refused):
    """This installation sends no webhooks: it has no key to sign them with."""

    code = "webhook.not_set_up"
    remedy = "Its administrator sets STILLFRAME_WEBHOOK_KEY; docs/operations.md says how."


class UrlInvalid(Invalid):
    """No webhook can go to this URL: {why}."""

    code = "webhook.url_invalid"
    remedy = (
        "Give an absolute https:// URL of a public host, without a user or a fragment; an administrator may allow "
        "others by STILLFRAME_WEBHOOK_ALLOW."
    )


class EventTypeUnknown(Invalid):
    """There are no events of type "{type}"."""

    code = "webhook.type_unknown"
    remedy = "Give a type such as job.failed, or the beginning of several with its dot: job."
