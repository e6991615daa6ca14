"""`stillframe snapshot delete`: one, or many of any VMs, which become a job a VM."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stillframe.cli import plans, refs, show, waiting
from stillframe.cli.asking import ask
from stillframe.cli.sure import sure
from stillframe.client import Producer
from stillframe.client.answers import Job
from stillframe.operations import DeleteSnapshot

REFUSED = 5
#: Names that a question tells; of more it tells the number.
_TOLD = 5


def delete(client: Producer, asked: Namespace, limits: Mapping[str, Any]) -> int:
    """`snapshot delete`."""
    ids = list(dict.fromkeys(refs.snapshot_id(client, one) for one in asked.snapshots))
    if not (asked.dry_run or sure(asked, lambda: _question(client, ids))):
        return REFUSED
    if len(ids) == 1:
        return ask(client, asked, DeleteSnapshot(snapshot_id=ids[0], **limits))
    if asked.dry_run:
        return _planned(client, asked, ids, limits)
    jobs = client.delete_snapshots(ids, idempotency_key=asked.idempotency_key, **limits)["items"]
    return _many(client, asked, jobs)


def _planned(client: Producer, asked: Namespace, ids: list[str], limits: Mapping[str, Any]) -> int:
    found = client.plan_deletions(ids, **limits)["items"]
    if asked.output == "json":
        show.data(found)
        return 0 if all(one["allowed"] for one in found) else REFUSED
    codes = []
    for number, one in enumerate(found):
        if number:
            print()
        codes.append(plans.shown(one, asked.output))
    return max(codes)


def _many(client: Producer, asked: Namespace, jobs: list[Job]) -> int:
    """The jobs of several VMs; waited for, the exit code is the worst."""
    if asked.output == "json":
        ended = [client.wait(job["id"]) for job in jobs] if asked.wait else jobs
        show.data(ended)
        return max(map(waiting.exit_code, ended)) if asked.wait else 0
    if asked.wait:
        return max([waiting.watch(client, job, asked.output) for job in jobs])
    for job in jobs:
        waiting.asked_for(job, asked.output)
    return 0


def _question(client: Producer, ids: list[str]) -> str:
    found = [client.snapshot(id_) for id_ in ids[:_TOLD]]
    if len(ids) == 1:
        return f"Delete snapshot {found[0]['name']} of VM {found[0]['vm']['name']}? The VM stays as it is."
    names = ", ".join(f"{one['vm']['name']}/{one['name']}" for one in found)
    more = f" and {len(ids) - _TOLD} more" if len(ids) > _TOLD else ""
    return f"Delete {len(ids)} snapshots ({names}{more})? The VMs stay as they are."
