"""`stillframe host ...`."""

from argparse import Namespace

from stillframe.cli import show
from stillframe.cli.lists import items
from stillframe.client import Json, Producer


def show_list(client: Producer, asked: Namespace) -> int:
    """`host list`."""
    found = items(client, client.hosts, asked, alive=asked.alive, drained=asked.drained)
    if asked.output == "json":
        show.data(found)
        return 0
    heads = ("NAME", "ALIVE", "DRAINED", "VMS", "RUNNING", "QUEUED", "LIBVIRT", "QEMU", "MEMORY", "LAST SEEN")
    rows = [
        (
            *(one["name"], "yes" if one["alive"] else "no", "yes" if one["drained"] else "no", one["vms"]),
            *(one["jobs_running"], one["jobs_queued"], one["libvirt_version"], one["qemu_version"]),
            *(show.size(one["memory_bytes"]), show.time(one["last_seen_at"])),
        )
        for one in found
    ]
    show.table(
        heads, rows, "No hosts. Keys of a tenant see none; others see each once its worker has started."
    )
    return 0


def show_one(client: Producer, asked: Namespace) -> int:
    """`host show`."""
    one = client.host(asked.host)
    if asked.output == "json":
        show.data(one)
        return 0
    show.fields(
        (
            ("Name", one["name"]),
            ("Alive", "yes" if one["alive"] else "no"),
            ("Last seen", show.time(one["last_seen_at"])),
            ("Registered", show.time(one["registered_at"])),
            ("Drained", _drained(one)),
            ("VMs", str(one["vms"])),
            ("Jobs running", str(one["jobs_running"])),
            ("Jobs queued", str(one["jobs_queued"])),
            ("libvirt", one["libvirt_version"]),
            ("QEMU", one["qemu_version"]),
            ("CPUs", str(one["cpus"])),
            ("Memory", show.size(one["memory_bytes"])),
        )
    )
    return 0


def drain(client: Producer, asked: Namespace) -> int:
    """`host drain`."""
    host = client.drain_host(asked.host, asked.reason or "")
    left = f"{host['jobs_running']} that it has begun run to their end, {host['jobs_queued']} wait"
    return _told(host, asked, f"Host {host['name']} takes no new jobs: {left}.")


def undrain(client: Producer, asked: Namespace) -> int:
    """`host undrain`."""
    host = client.undrain_host(asked.host)
    return _told(host, asked, f"Host {host['name']} takes jobs.")


def _told(host: Json, asked: Namespace, words: str) -> int:
    if asked.output == "json":
        show.data(host)
    else:
        print(show.plain(words))
    return 0


def _drained(host: Json) -> str:
    if not host["drained"]:
        return "no"
    reason = f": {host['drained']['reason']}" if host["drained"]["reason"] else ""
    return f"by {host['drained']['by']} at {show.time(host['drained']['since'])}{reason}"
