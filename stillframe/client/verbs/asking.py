"""What can be asked for: operations, and all that changes something."""

from collections.abc import Iterable
from typing import Any

from stillframe.client.answers import (
    Comment,
    DeletedPolicy,
    Forecast,
    Host,
    Inspection,
    Job,
    MadePolicy,
    Page,
    Policy,
    Rescan,
    Run,
    Snapshot,
    Vm,
)
from stillframe.client.request import Json, asking, change, get, make, part, plan_of, planning
from stillframe.client.verbs.base import Verbs
from stillframe.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    ExtractVolume,
    Operation,
    RevertSnapshot,
)


class Asking(Verbs):
    """Each makes one request. What is made with an idempotency key is made once, however often it is asked for."""

    def submit(self, operation: Operation, idempotency_key: str | None = None) -> Job:
        """Asks for an operation and returns its job. Asking twice with one key asks once.

        Without a key one is made up, so that a request that is sent again after a lost answer counts once.
        """
        return self._ask(asking(operation, idempotency_key))

    def plan(self, operation: Operation) -> Forecast:
        """What an operation would do and cost, and whether it would be refused (`allowed`). Nothing is done."""
        return self._ask(planning(operation))

    def create_snapshot(self, vm: str, *, idempotency_key: str | None = None, **wishes: Any) -> Job:
        """`wishes` are the fields of CreateSnapshot."""
        return self.submit(CreateSnapshot(vm=vm, **wishes), idempotency_key)

    def revert_snapshot(self, snapshot_id: str, *, idempotency_key: str | None = None, **wishes: Any) -> Job:
        """`wishes` are the fields of RevertSnapshot."""
        return self.submit(RevertSnapshot(snapshot_id=snapshot_id, **wishes), idempotency_key)

    def delete_snapshot(self, snapshot_id: str, *, idempotency_key: str | None = None, **wishes: Any) -> Job:
        """Its id may be used again for looking, never for another snapshot. `wishes` are the fields of DeleteSnapshot."""
        return self.submit(DeleteSnapshot(snapshot_id=snapshot_id, **wishes), idempotency_key)

    def delete_snapshots(
        self, snapshot_ids: Iterable[str], *, idempotency_key: str | None = None, **limits: Any
    ) -> Page[Job]:
        """All or none of them, of any VMs: a job a VM. `limits` are start_within_s and timeout_s."""
        return self._ask(
            make("/v1/snapshots:delete", {"ids": list(snapshot_ids), **limits}, key=idempotency_key)
        )

    def plan_deletions(self, snapshot_ids: Iterable[str], **limits: Any) -> Page[Forecast]:
        """What `delete_snapshots` would do, a VM a plan. Nothing is done."""
        return self._ask(plan_of("/v1/snapshots:delete", {"ids": list(snapshot_ids), **limits}))

    def extract_volume(
        self,
        snapshot_id: str,
        target: str,
        name: str | None = None,
        *,
        idempotency_key: str | None = None,
        **wishes: Any,
    ) -> Job:
        """The job's `volume_snapshot_id` is what will come of it. `wishes` are the other fields of ExtractVolume."""
        wish = ExtractVolume(snapshot_id=snapshot_id, target=target, name=name, **wishes)
        return self.submit(wish, idempotency_key)

    def delete_volume(self, volume_id: str, *, idempotency_key: str | None = None, **wishes: Any) -> Job:
        """Removes the image of a volume snapshot. `wishes` are the other fields of DeleteVolume."""
        return self.submit(DeleteVolume(volume_snapshot_id=volume_id, **wishes), idempotency_key)

    def cancel_job(self, job_id: str) -> Job:
        """Asks a job to stop; the job that comes back may still be running."""
        return self._ask(change("POST", f"/v1/jobs/{part(job_id)}/cancel"))

    def inspect_job(self, job_id: str) -> Inspection:
        """All there is to know of a stuck job before deciding about it, with the ways out in `ways`."""
        return self._ask(get(f"/v1/jobs/{part(job_id)}/recover"))

    def recover_job(self, job_id: str, action: str, note: str = "") -> Job:
        """Decides about a stuck job: `action` is resume, rollback or mark_done."""
        wish = {"action": action, "note": note}
        return self._ask(change("POST", f"/v1/jobs/{part(job_id)}/recover", wish))

    def retry_job(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """Asks for the same as a job that ended without success; the new job."""
        return self._ask(make(f"/v1/jobs/{part(job_id)}/retry", key=idempotency_key))

    def drain_host(self, name: str, reason: str = "") -> Host:
        """From now on it takes no new jobs; returns the host. What was begun there runs to its end."""
        return self._ask(change("POST", f"/v1/hosts/{part(name)}/drain", {"reason": reason}))

    def undrain_host(self, name: str) -> Host:
        """It takes jobs again; returns the host."""
        return self._ask(change("POST", f"/v1/hosts/{part(name)}/undrain"))

    def rescan_host(
        self,
        name: str,
        *,
        vm: str | None = None,
        adopt: bool = False,
        repair: bool = False,
        idempotency_key: str | None = None,
    ) -> Rescan:
        """Asks for a look at a whole host, or at one VM of it; `rescan` tells what was found."""
        wish = {"vm": vm, "adopt": adopt, "repair": repair}
        return self._ask(make(f"/v1/hosts/{part(name)}/rescan", wish, key=idempotency_key))

    def create_policy(
        self, wish: Json, *, allow_empty: bool = False, idempotency_key: str | None = None
    ) -> MadePolicy:
        """A policy of this wish; with `allow_empty` also if its selector matches no VM yet."""
        return self._ask(make("/v1/policies", wish, key=idempotency_key, allow_empty=allow_empty))

    def edit_policy(self, policy: str, wish: Json) -> MadePolicy:
        """Puts another wish in its place."""
        return self._ask(change("PUT", f"/v1/policies/{part(policy)}", wish))

    def pause_policy(self, policy: str, until: str | None = None) -> Policy:
        """Nothing fires until then, or until it is resumed."""
        return self._ask(change("POST", f"/v1/policies/{part(policy)}/pause", {"until": until}))

    def resume_policy(self, policy: str, vm: str | None = None) -> Policy:
        """It fires again, from now on; with `vm` only that one is set aside no more."""
        wish = {"vm": vm} if vm else None
        return self._ask(change("POST", f"/v1/policies/{part(policy)}/resume", wish))

    def run_policy(self, policy: str, *, idempotency_key: str | None = None) -> Page[Run]:
        """Fires it now; the page of its firings."""
        return self._ask(make(f"/v1/policies/{part(policy)}/run", key=idempotency_key))

    def delete_policy(self, policy: str) -> DeletedPolicy:
        """Its snapshots stay; what waited for its turn does not take place, and is counted."""
        return self._ask(change("DELETE", f"/v1/policies/{part(policy)}"))

    def tag_vm(self, vm: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Vm:
        """Changes the tags that policies choose VMs by; returns the VM."""
        wish = {"add_tags": list(add), "remove_tags": list(remove)}
        return self._ask(change("PATCH", f"/v1/vms/{part(vm)}", wish))

    def edit_snapshot(self, snapshot_id: str, changes: Json, etag: str | None = None) -> Snapshot:
        """Changes name, display_name, description, tags or expires_at; with an ETag only if nobody else has since."""
        return self._ask(change("PATCH", f"/v1/snapshots/{part(snapshot_id)}", changes, etag=etag))

    def hold_snapshot(self, snapshot_id: str, reason: str, until: str | None = None) -> Snapshot:
        """Nobody deletes it and no policy prunes it until it is released, or until then (ISO 8601)."""
        wish = {"reason": reason, "until": until}
        return self._ask(change("POST", f"/v1/snapshots/{part(snapshot_id)}/hold", wish))

    def release_snapshot(self, snapshot_id: str) -> Snapshot:
        """It may be deleted and pruned again."""
        return self._ask(change("POST", f"/v1/snapshots/{part(snapshot_id)}/release"))

    def add_comment(self, snapshot_id: str, text: str, *, idempotency_key: str | None = None) -> Comment:
        """A person's words on a snapshot."""
        path = f"/v1/snapshots/{part(snapshot_id)}/comments"
        return self._ask(make(path, {"text": text}, key=idempotency_key))
