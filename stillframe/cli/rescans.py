"""`stillframe host rescan`."""

from argparse import Namespace

from stillframe.cli import show
from stillframe.client import Client, Json

OK, FAILED, STILL_GOING = 0, 1, 4
OVER = {"done", "failed"}


def rescan(client: Client, asked: Namespace) -> int:
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
    elif found["state"] == "failed":
        show.problem(found["error"], asked.output)
    else:
        _show(found)
    return OK if found["state"] == "done" and not _left(found) else FAILED


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
