"""`stillframe host ...`."""

from argparse import Namespace

from stillframe.cli import show
from stillframe.cli.lists import items
from stillframe.client import Client


def show_list(client: Client, asked: Namespace) -> int:
    """`host list`."""
    found = items(client, client.hosts, asked)
    if asked.output == "json":
        show.data(found)
        return 0
    heads = ("NAME", "ALIVE", "VMS", "RUNNING", "QUEUED", "LIBVIRT", "QEMU", "MEMORY", "LAST SEEN")
    rows = [
        (
            *(
                one["name"],
                "yes" if one["alive"] else "no",
                one["vms"],
                one["jobs_running"],
                one["jobs_queued"],
            ),
            *(one["libvirt_version"], one["qemu_version"], show.size(one["memory_bytes"])),
            show.time(one["last_seen_at"]),
        )
        for one in found
    ]
    show.table(heads, rows, "No host has registered yet: one does when its worker starts.")
    return 0
