"""`stillframe host rescan` and `host rescans`."""

from argparse import Namespace
from functools import partial

from stillframe.cli import show
from stillframe.cli.lists import items
from stillframe.client import Json, Producer

OK, FAILED, STILL_GOING = 0, 1, 4
OVER = {"done", "failed"}


def rescan(client: Producer, asked: Namespace) -> int:
    """`host rescan`: 0 if nothing is left to be put right, 1 if something is."""
    found = client.rescan_host(asked.host, vm=asked.vm, adopt=asked.adopt, repair=asked.repair)
    if not found["host_alive"] and asked.output == "table":
        seen = show.time(found["host_seen_at"])
        show.note(f"Host {asked.host} has not been heard of since {seen}; it is looked at when it is back.")
    try:
        while found["state"] not in OVER:
            found = client.rescan(asked.host, found["id"], wait_s=30)
    except KeyboardInterrupt:
        show.note(f"\nDetached: rescan {found['id']} goes on.")
        return STILL_GOING
    if asked.output == "json":
        show.data(found)
    elif found["error"]:
        show.problem(found["error"], asked.output)
    else:
        _show(found)
    return OK if found["state"] == "done" and not _left(found) else FAILED


def show_list(client: Producer, asked: Namespace) -> int:
    """`host rescans`."""
    found = items(client, partial(client.rescans, asked.host), asked, state=asked.state)
    if asked.output == "json":
        show.data(found)
        return OK
    heads = ("ID", "STATE", "VM", "ADOPT", "REPAIR", "FINDINGS", "LEFT", "ASKED BY", "CREATED")
    rows = [
        (
            *(show.Id(one["id"]), one["state"], one["vm"]["name"] if one["vm"] else "all"),
            *("yes" if one[wish] else "no" for wish in ("adopt", "repair")),
            *(("-", "-") if one["findings"] is None else (len(one["findings"]), len(_left(one)))),
            *(one["requested_by"], show.time(one["created_at"])),
        )
        for one in found
    ]
    show.table(heads, rows, f"Host {asked.host} was never rescanned.")
    return OK


def _left(rescan: Json) -> list[Json]:
    return [one for one in rescan["findings"] or [] if one["drift"]]


def _show(rescan: Json) -> None:
    findings = rescan["findings"]
    rows = [
        (
            *(
                one["kind"],
                one["vm"] or "-",
                one["subject"],
                show.size(one["bytes"]) if one["bytes"] else "-",
            ),
            *(one["done"] or ("to do" if one["drift"] else "-"), one["detail"]),
        )
        for one in findings
    ]
    heads = ("KIND", "VM", "SUBJECT", "SIZE", "DONE", "DETAIL")
    show.table(heads, rows, f"Host {rescan['host']} is as its rows say.")
    remedies = {one["kind"]: one["remedy"] for one in _left(rescan) if one["remedy"]}
    for kind, remedy in remedies.items():
        show.note(f"{kind}: {remedy}")
