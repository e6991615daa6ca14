"""`stillframe job ...`."""

from argparse import Namespace

from stillframe.cli import refs, show, waiting
from stillframe.cli.lists import items
from stillframe.client import Json, Producer
from stillframe.counting import counted
from stillframe.states import ENDED, OVER


def show_list(client: Producer, asked: Namespace) -> int:
    """`job list`."""
    snapshot = refs.snapshot_id(client, asked.snapshot) if asked.snapshot else None
    found = items(
        *(client, client.jobs, asked, "newest"),
        vm=asked.vm,
        state=asked.state,
        kind=asked.kind and show.kind_asked(asked.kind),
        host=asked.host,
        snapshot=snapshot,
        account=asked.account,
        domain=asked.domain,
    )
    if asked.output == "json":
        show.data(found)
        return 0
    rows = [
        (
            *(show.Id(one["id"]), show.kind(one), one["state"], one["vm"]["name"], _about(one)),
            *(
                one["host"],
                _phase(one) or _waits(one) or "-",
                waiting.progress(one) or "-",
                one["requested_by"],
                show.time(one["created_at"]),
            ),
        )
        for one in found
    ]
    heads = ("ID", "KIND", "STATE", "VM", "SNAPSHOT", "HOST", "PHASE", "PROGRESS", "ASKED BY", "CREATED")
    show.table(heads, rows, "No jobs.")
    return 0


def show_one(client: Producer, asked: Namespace) -> int:
    """`job show`."""
    one = client.job(refs.job_id(client, asked.job))
    if asked.output == "json":
        show.data(one)
        return 0
    details(one)
    if one["error"]:
        print()
        show.problem(one["error"], asked.output)
    if one["state"] == "stuck":
        show.note(f"`stillframe job recover {one['id']}` shows how it stands and the ways out.")
    return 0


def details(one: Json) -> None:
    """A job's fields and steps."""
    show.fields(
        (
            ("Id", one["id"]),
            ("Kind", show.kind(one)),
            ("State", one["state"]),
            ("Phase", _phase(one)),
            ("Progress", waiting.progress(one)),
            ("Waits", one["waiting"] and one["waiting"]["detail"]),
            ("VM", f"{one['vm']['name']} ({one['vm']['id']})"),
            ("Host", one["host"]),
            ("Snapshot", _snapshot(one)),
            ("Volume snapshot", one["volume_snapshot_id"]),
            ("Freed", _freed(one)),
            ("Asked by", one["requested_by"]),
            ("Request", one["trace"]["request_id"] if one["trace"] else None),
            ("Attempt", one["attempt"]),
            ("Workers died", one["deaths"] or None),
            ("Worker", one["worker"]),
            ("Decided", _decided(one["recovery"])),
            ("Created", show.time(one["created_at"])),
            ("Expires", show.time(one["expires_at"]) if one["state"] == "queued" else None),
            ("Started", one["started_at"] and show.time(one["started_at"])),
            ("Only forward", one["no_return_at"] and f"since {show.time(one['no_return_at'])}"),
            ("Finished", one["finished_at"] and show.time(one["finished_at"])),
        )
    )
    if several := one["snapshots"]:
        print()
        left_out = [(each["name"], show.Id(each["id"]), _spared(each["spared"])) for each in several]
        show.table(("SNAPSHOT", "ID", "LEFT OUT"), left_out, "")
    print()
    rows = [
        (
            step["name"],
            step["state"],
            show.time(step["started_at"]),
            _took(step["started_at"], step["finished_at"]),
        )
        for step in one["steps"]
    ]
    show.table(("STEP", "STATE", "STARTED", "TOOK"), rows, "No step has begun.")


def watch(client: Producer, asked: Namespace) -> int:
    """`job watch`."""
    return waiting.watch(client, client.job(refs.job_id(client, asked.job)), asked.output)


def cancel(client: Producer, asked: Namespace) -> int:
    """`job cancel`."""
    job = client.cancel_job(refs.job_id(client, asked.job))
    if asked.output == "json":
        show.data(job)
    elif job["state"] in OVER:
        waiting.ended(job, asked.output)
    else:
        print(
            f"{show.kind(job)} of VM {job['vm']['name']} is {job['state']} and stops as soon as it safely can."
        )
    return 0


def retry(client: Producer, asked: Namespace) -> int:
    """`job retry`."""
    job = client.retry_job(refs.job_id(client, asked.job), idempotency_key=asked.idempotency_key)
    return waiting.watch(client, job, asked.output) if asked.wait else waiting.asked_for(job, asked.output)


def _phase(job: Json) -> str | None:
    """The step it is at; where an ended job was last says nothing."""
    return None if job["state"] in ENDED else job["phase"]


def _decided(recovery: Json | None) -> str | None:
    if recovery is None:
        return None
    what = f"{recovery['action'].replace('_', ' ')} by {recovery['actor']} at {show.time(recovery['at'])}"
    return f"{what}: {recovery['note']}" if recovery["note"] else what


def _waits(job: Json) -> str | None:
    """What it waits for, in a word or two."""
    return f"waits: {job['waiting']['code'].replace('_', ' ')}" if job["waiting"] else None


def _freed(job: Json) -> str | None:
    freed = (job["result"] or {}).get("freed_bytes")
    return None if freed is None else show.size(freed)


def _spared(why: Json | None) -> str:
    return f"{why['detail']} {why['remedy']}" if why else ""


def _about(job: Json) -> str | None:
    """The name of what it is about, or how many those are."""
    several = len(job["snapshots"])
    return counted(several, "snapshot") if several else job["snapshot_name"]


def _snapshot(job: Json) -> str | None:
    name, id_ = job["snapshot_name"], job["snapshot_id"]
    return f"{name} ({id_})" if name else id_


def _took(started: str, finished: str | None) -> str:
    if not finished:
        return "-"
    took = show.seconds(finished) - show.seconds(started)
    return f"{took * 1000:.0f} ms" if took < 1 else show.took(took)
