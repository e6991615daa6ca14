"""`stillframe event ...`."""

import json
from argparse import Namespace
from time import sleep

from stillframe.cli import refs, show
from stillframe.cli.lists import items
from stillframe.client import Client, Json

FOLLOW_S = 0.5


def show_list(client: Client, asked: Namespace) -> int:
    """`event list`: the newest so many, the newest last; with --follow what comes after them too."""
    filters = {
        "vm": asked.vm,
        "snapshot": refs.snapshot_id(client, asked.snapshot) if asked.snapshot else None,
        "job": refs.job_id(client, asked.job) if asked.job else None,
        "type": asked.type,
    }
    found = items(client, client.events, asked, **filters)[::-1]
    if asked.output == "json" and not asked.follow:
        show.data(found)
        return 0
    for event in found:
        _show(event, asked.output)
    if not found and not asked.follow:
        show.note("No events.")
    if asked.follow:
        _follow(client, filters, found[-1]["id"] if found else 0, asked.output)
    return 0


def _follow(client: Client, filters: Json, after: int, output: str) -> None:
    """Goes on until Ctrl-C. Events are asked for by id, so none is missed and none comes twice."""
    try:
        while True:
            found = client.events(after=after, limit=200, **filters)["items"]
            for event in found:
                _show(event, output)
                after = event["id"]
            if not found:
                sleep(FOLLOW_S)
    except KeyboardInterrupt:
        return


def _show(event: Json, output: str) -> None:
    if output == "json":
        print(json.dumps(event, ensure_ascii=False), flush=True)
        return
    vm = event["vm"]["name"] if event["vm"] else "-"
    step = event["data"].get("step")
    words = event["message"] or (step.replace("_", " ") if isinstance(step, str) else "")
    who = event["actor"].partition("/")[0]  # of a worker, its host
    line = f"{show.time(event['at'])}  {event['type']:<18}  {show.pad(vm, 12)}  {who:<10}  {words}"
    print(show.plain(line.rstrip()), flush=True)
