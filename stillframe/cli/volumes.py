"""`stillframe volume ...`: the volume snapshots."""

from argparse import Namespace

from stillframe.cli import refs, show
from stillframe.cli.asking import ask, limits
from stillframe.cli.lists import items
from stillframe.cli.sure import sure
from stillframe.client import Producer
from stillframe.operations import DeleteVolume

REFUSED = 5


def show_list(client: Producer, asked: Namespace) -> int:
    """`volume list`."""
    filters = {name: getattr(asked, name) for name in ("vm", "state", "policy", "account", "domain")}
    found = items(client, client.volumes, asked, "newest", **filters)
    if asked.output == "json":
        show.data(found)
        return 0
    rows = [
        (
            *(one["name"], one["state"], one["vm"]["name"], one["target"], show.size(one["virtual_bytes"])),
            *(show.size(one["size_bytes"]), show.time(one["created_at"]), show.Id(one["id"])),
        )
        for one in found
    ]
    heads = ("NAME", "STATE", "VM", "VOLUME", "VIRTUAL", "TAKEN", "CREATED", "ID")
    show.table(heads, rows, "No volume snapshots.")
    return 0


def show_one(client: Producer, asked: Namespace) -> int:
    """`volume show`."""
    one = client.volume(refs.volume_id(client, asked.volume))
    if asked.output == "json":
        show.data(one)
        return 0
    show.fields(
        (
            ("Name", one["name"]),
            ("Id", one["id"]),
            ("State", one["state"]),
            ("VM", f"{one['vm']['name']} ({one['vm']['id']})"),
            ("Snapshot", one["snapshot_id"]),
            ("Policy", one["policy_id"]),
            ("Volume", one["target"]),
            ("Host", one["host"]),
            ("Format", one["format"]),
            ("Virtual", show.size(one["virtual_bytes"])),
            ("Taken", show.size(one["size_bytes"])),
            ("SHA-256", one["sha256"] or ("being computed" if one["state"] == "ready" else "-")),
            ("Image", one["path"]),
            ("Created", show.time(one["created_at"])),
        )
    )
    if one["error"]:
        show.problem(one["error"], asked.output)
    return 0


def delete(client: Producer, asked: Namespace) -> int:
    """`volume delete`."""
    id_ = refs.volume_id(client, asked.volume)
    question = f"Remove the image of volume snapshot {asked.volume}? It cannot be brought back."
    if not asked.dry_run and not sure(asked, lambda: question):
        return REFUSED
    return ask(client, asked, DeleteVolume(volume_snapshot_id=id_, **limits(asked)))
