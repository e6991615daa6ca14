"""The HTTP API for programs: the same verbs and words, plain dictionaries back, every problem as one exception."""

from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote
from uuid import uuid4

from stillframe.operations import CreateSnapshot, DeleteSnapshot, ExtractVolume, Operation, RevertSnapshot
from stillframe.states import OVER

if TYPE_CHECKING:
    import httpx

Json = dict[str, Any]


class ProblemError(Exception):
    """The API refused or failed: a stable code, one sentence, what to do about it, and the HTTP status."""

    def __init__(
        self, code: str, detail: str, remedy: str, status: int, evidence: Json | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.remedy = remedy
        #: 0 when no answer came at all.
        self.status = status
        self.evidence = evidence or {}

    def to_json(self) -> Json:
        """The problem as the API worded it."""
        return {
            "code": self.code,
            "status": self.status,
            "detail": self.detail,
            "remedy": self.remedy,
            "evidence": self.evidence,
        }


class Client:
    """One API and one key. Safe to share between threads. Names and ids are both fine where a VM is meant.

    Lists answer `{items, next_cursor}`; `every` walks all pages. What takes time answers with its job.
    """

    def __init__(self, url: str, key: str, *, timeout_s: float = 30.0) -> None:
        import httpx  # here, so that importing the words costs nothing

        headers = {"Authorization": f"Bearer {key.strip()}"} if key.strip() else {}
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    # --- what is asked for ------------------------------------------------------------------------

    def submit(self, operation: Operation, idempotency_key: str | None = None) -> Json:
        """Asks for an operation and returns its job. Asking twice with one key asks once.

        Without a key one is made up, so that a request that is sent again after a lost answer counts once.
        """
        method, path, wishes = _route(operation)
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        how = {"params": wishes} if method == "DELETE" else {"json": wishes}
        return self._ask(method, path, headers=headers, **how)

    def create_snapshot(self, vm: str, *, idempotency_key: str | None = None, **wishes: Any) -> Json:
        """`wishes` are the fields of CreateSnapshot."""
        return self.submit(CreateSnapshot(vm=vm, **wishes), idempotency_key)

    def revert_snapshot(self, snapshot_id: str, *, idempotency_key: str | None = None, **wishes: Any) -> Json:
        """`wishes` are the fields of RevertSnapshot."""
        return self.submit(RevertSnapshot(snapshot_id=snapshot_id, **wishes), idempotency_key)

    def delete_snapshot(self, snapshot_id: str, *, idempotency_key: str | None = None, **wishes: Any) -> Json:
        """Its id may be used again for looking, never for another snapshot. `wishes` are the fields of DeleteSnapshot."""
        return self.submit(DeleteSnapshot(snapshot_id=snapshot_id, **wishes), idempotency_key)

    def extract_volume(
        self,
        snapshot_id: str,
        target: str,
        name: str | None = None,
        *,
        idempotency_key: str | None = None,
        **wishes: Any,
    ) -> Json:
        """The job's `volume_snapshot_id` is what will come of it. `wishes` are the other fields of ExtractVolume."""
        wish = ExtractVolume(snapshot_id=snapshot_id, target=target, name=name, **wishes)
        return self.submit(wish, idempotency_key)

    def plan(self, operation: Operation) -> Json:
        """What an operation would do and cost, and whether it would be refused (`allowed`). Nothing is done."""
        method, path, wishes = _route(operation)
        if method == "DELETE":
            path += "/delete"
        return self._ask("POST", f"{path}:plan", json=wishes)

    def cancel_job(self, job_id: str) -> Json:
        """Asks a job to stop; the job that comes back may still be running."""
        return self._ask("POST", f"/v1/jobs/{_part(job_id)}/cancel")

    def inspect_job(self, job_id: str) -> Json:
        """All there is to know of a stuck job before deciding about it, with the ways out in `ways`."""
        return self._ask("GET", f"/v1/jobs/{_part(job_id)}/recover")

    def recover_job(self, job_id: str, action: str, note: str = "") -> Json:
        """Decides about a stuck job: `action` is resume, rollback or mark_done."""
        return self._ask("POST", f"/v1/jobs/{_part(job_id)}/recover", json={"action": action, "note": note})

    def retry_job(self, job_id: str, *, idempotency_key: str | None = None) -> Json:
        """Asks for the same as a job that ended without success; the new job."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return self._ask("POST", f"/v1/jobs/{_part(job_id)}/retry", headers=headers)

    def drain_host(self, name: str, reason: str = "") -> Json:
        """From now on it takes no new jobs; returns the host. What was begun there runs to its end."""
        return self._ask("POST", f"/v1/hosts/{_part(name)}/drain", json={"reason": reason})

    def undrain_host(self, name: str) -> Json:
        """It takes jobs again; returns the host."""
        return self._ask("POST", f"/v1/hosts/{_part(name)}/undrain")

    def create_policy(self, wish: Json, *, allow_empty: bool = False) -> Json:
        """A policy of this wish; with `allow_empty` also if its selector matches no VM yet."""
        return self._ask("POST", "/v1/policies", json=wish, params={"allow_empty": allow_empty})

    def edit_policy(self, policy: str, wish: Json) -> Json:
        """Puts another wish in its place."""
        return self._ask("PUT", f"/v1/policies/{_part(policy)}", json=wish)

    def pause_policy(self, policy: str, until: str | None = None) -> Json:
        """Nothing fires until then, or until it is resumed."""
        return self._ask("POST", f"/v1/policies/{_part(policy)}/pause", json={"until": until})

    def resume_policy(self, policy: str) -> Json:
        """It fires again, from now on."""
        return self._ask("POST", f"/v1/policies/{_part(policy)}/resume")

    def run_policy(self, policy: str) -> Json:
        """Fires it now; the page of its firings."""
        return self._ask("POST", f"/v1/policies/{_part(policy)}/run")

    def delete_policy(self, policy: str) -> Json:
        """Its snapshots stay."""
        return self._ask("DELETE", f"/v1/policies/{_part(policy)}")

    def edit_snapshot(self, snapshot_id: str, changes: Json, etag: str | None = None) -> Json:
        """Changes name, display_name, description, tags or expires_at; with an ETag only if nobody else has since."""
        headers = {"If-Match": etag} if etag else {}
        return self._ask("PATCH", f"/v1/snapshots/{_part(snapshot_id)}", json=changes, headers=headers)

    def tag_vm(self, vm: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Json:
        """Changes the tags that policies choose VMs by; returns the VM."""
        wish = {"add_tags": list(add), "remove_tags": list(remove)}
        return self._ask("PATCH", f"/v1/vms/{_part(vm)}", json=wish)

    def hold_snapshot(self, snapshot_id: str, reason: str, until: str | None = None) -> Json:
        """Nobody deletes it and no policy prunes it until it is released, or until then (ISO 8601)."""
        wish = {"reason": reason, "until": until}
        return self._ask("POST", f"/v1/snapshots/{_part(snapshot_id)}/hold", json=wish)

    def release_snapshot(self, snapshot_id: str) -> Json:
        """It may be deleted and pruned again."""
        return self._ask("POST", f"/v1/snapshots/{_part(snapshot_id)}/release")

    def add_comment(self, snapshot_id: str, text: str) -> Json:
        """A person's words on a snapshot."""
        return self._ask("POST", f"/v1/snapshots/{_part(snapshot_id)}/comments", json={"text": text})

    def rescan_host(
        self, name: str, *, vm: str | None = None, adopt: bool = False, repair: bool = False
    ) -> Json:
        """Asks for a look at a whole host, or at one VM of it; `rescan` tells what was found."""
        wish = {"vm": vm, "adopt": adopt, "repair": repair}
        return self._ask("POST", f"/v1/hosts/{_part(name)}/rescan", json=wish)

    # --- what there is ----------------------------------------------------------------------------

    def hosts(self, **filters: Any) -> Json:
        """One page of hosts."""
        return self._list("/v1/hosts", filters)

    def host(self, name: str) -> Json:
        """One host by its name."""
        return self._ask("GET", f"/v1/hosts/{_part(name)}")

    def rescans(self, name: str, **filters: Any) -> Json:
        """One page of a host's rescans, newest first."""
        return self._list(f"/v1/hosts/{_part(name)}/rescans", filters)

    def rescan(self, name: str, rescan_id: str, wait_s: float = 0) -> Json:
        """One rescan; with `wait_s` (at most 60) the answer comes once it has ended or the time is over."""
        wait = {"wait": f"{wait_s:.3f}s"} if wait_s >= 0.001 else {}
        path = f"/v1/hosts/{_part(name)}/rescans/{_part(rescan_id)}"
        return self._ask("GET", path, params=wait, timeout=wait_s + 30)

    def vms(self, **filters: Any) -> Json:
        """One page of VMs."""
        return self._list("/v1/vms", filters)

    def vm(self, vm: str) -> Json:
        """One VM by name or id."""
        return self._ask("GET", f"/v1/vms/{_part(vm)}")

    def snapshots(self, **filters: Any) -> Json:
        """One page of snapshots."""
        return self._list("/v1/snapshots", filters)

    def snapshot(self, snapshot_id: str) -> Json:
        """One snapshot by its id."""
        return self._ask("GET", f"/v1/snapshots/{_part(snapshot_id)}")

    def comments(self, snapshot_id: str, **filters: Any) -> Json:
        """One page of a snapshot's comments."""
        return self._list(f"/v1/snapshots/{_part(snapshot_id)}/comments", filters)

    def volumes(self, **filters: Any) -> Json:
        """One page of volume snapshots."""
        return self._list("/v1/volumes", filters)

    def volume(self, volume_id: str) -> Json:
        """One volume snapshot by its id."""
        return self._ask("GET", f"/v1/volumes/{_part(volume_id)}")

    def jobs(self, **filters: Any) -> Json:
        """One page of jobs."""
        return self._list("/v1/jobs", filters)

    def job(self, job_id: str, wait_s: float = 0) -> Json:
        """A job; with `wait_s` (at most 60) the answer comes once it has ended or the time is over."""
        wait = {"wait": f"{wait_s:.3f}s"} if wait_s >= 0.001 else {}
        return self._ask("GET", f"/v1/jobs/{_part(job_id)}", params=wait, timeout=wait_s + 30)

    def policies(self, **filters: Any) -> Json:
        """One page of policies."""
        return self._list("/v1/policies", filters)

    def policy(self, policy: str) -> Json:
        """One policy by name or id."""
        return self._ask("GET", f"/v1/policies/{_part(policy)}")

    def policy_runs(self, policy: str, **filters: Any) -> Json:
        """One page of what became of its firings."""
        return self._list(f"/v1/policies/{_part(policy)}/runs", filters)

    def policy_preview(self, policy: str, runs: int = 5) -> Json:
        """The next runs, and what would be kept and pruned now."""
        return self._ask("GET", f"/v1/policies/{_part(policy)}/preview", params={"runs": runs})

    def events(self, **filters: Any) -> Json:
        """One page of events, newest first; with `after`, an event's id, oldest first from there."""
        return self._list("/v1/events", filters)

    def follow(self, *, after: int | None = None, **filters: Any) -> Iterator[Json]:
        """Events as they happen, for ever: from now on, or after an event's id; `last=20` begins with the last twenty."""
        from stillframe.following import follow

        return follow(self._http, after, filters)

    def every(self, page: Callable[..., Json], **filters: Any) -> Iterator[Json]:
        """All items of a list, page after page: `client.every(client.snapshots, vm="web1")`."""
        while True:
            found = page(**filters)
            yield from found["items"]
            if not found["next_cursor"]:
                return
            filters["cursor"] = found["next_cursor"]

    def wait(self, job_id: str, timeout_s: float | None = None) -> Json:
        """The job once it is over, or as it is when `timeout_s` have passed."""
        until = None if timeout_s is None else monotonic() + timeout_s
        while True:
            left = 30.0 if until is None else max(0.0, min(30.0, until - monotonic()))
            job = self.job(job_id, wait_s=left)
            if job["state"] in OVER or (until is not None and monotonic() >= until):
                return job

    def _list(self, path: str, filters: Json) -> Json:
        return self._ask(
            "GET", path, params={name: value for name, value in filters.items() if value is not None}
        )

    def _ask(self, method: str, path: str, **how: Any) -> Json:
        import httpx

        try:
            answer = self._http.request(method, path, **how)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProblemError(
                "api.unreachable",
                f"The API at {self._http.base_url} does not answer: {error}.",
                "Check STILLFRAME_URL, and that the API runs (/healthz).",
                0,
            ) from error
        if answer.is_success:
            return _json(answer)
        raise _problem(answer)


def _route(operation: Operation) -> tuple[str, str, Json]:
    """Method and path, and what of the request they do not say."""
    # What is left open is not sent: an API that does not know a newer word yet refuses only who uses it.
    wishes = {name: wish for name, wish in operation.to_json().items() if wish is not None}
    match operation:
        case CreateSnapshot():
            return "POST", f"/v1/vms/{_part(wishes.pop('vm'))}/snapshots", wishes
        case RevertSnapshot():
            return "POST", f"/v1/snapshots/{_part(wishes.pop('snapshot_id'))}/revert", wishes
        case DeleteSnapshot():
            return "DELETE", f"/v1/snapshots/{_part(wishes.pop('snapshot_id'))}", wishes
        case ExtractVolume():
            return "POST", f"/v1/snapshots/{_part(wishes.pop('snapshot_id'))}/volumes", wishes
        case _:
            raise TypeError(f"the API has no route for {operation.kind}")


def _part(text: str) -> str:
    """One segment of a path. A name of dots would be taken for the path's own, so it is spelled out."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _json(answer: "httpx.Response") -> Json:
    try:
        body = answer.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}


def _problem(answer: "httpx.Response") -> ProblemError:
    body = _json(answer)
    return ProblemError(
        str(body.get("code", f"http.{answer.status_code}")),
        str(body.get("detail") or f"The API answered {answer.status_code} {answer.reason_phrase}."),
        str(body.get("remedy", "Check STILLFRAME_URL: this does not look like the Stillframe API.")),
        answer.status_code,
        body.get("evidence"),
    )
