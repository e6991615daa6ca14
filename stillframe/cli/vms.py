"""`stillframe vm ...`."""

from argparse import Namespace

from stillframe.cli import show
from stillframe.cli.lists import items
from stillframe.cli.usage import Usage
from stillframe.client import Json, Producer


def show_list(client: Producer, asked: Namespace) -> int:
    """`vm list`."""
    found = items(
        *(client, client.vms, asked),
        host=asked.host,
        state=asked.state,
        q=asked.q,
        tag=asked.tag,
        account=asked.account,
        domain=asked.domain,
    )
    if asked.output == "json":
        show.data(found)
        return 0
    rows = [
        (
            *(one["name"], one["state"], one["host"], show.size(one["memory_bytes"])),
            ",".join(volume["target"] for volume in one["volumes"]) or "-",
            one["current"]["name"] if one["current"] else "-",
            one["id"],
        )
        for one in found
    ]
    show.table(("NAME", "STATE", "HOST", "MEMORY", "VOLUMES", "CURRENT", "ID"), rows, "No VMs.")
    return 0


def tag(client: Producer, asked: Namespace) -> int:
    """`vm tag`."""
    if not asked.tags or any(word[0] not in "+-" or len(word) < 2 for word in asked.tags):
        raise Usage(
            detail="write +TAG to add one and -TAG to take one away; options such as -o go before the VM"
        )
    signs: dict[str, list[str]] = {"+": [], "-": []}
    for word in asked.tags:
        signs[word[0]].append(word[1:])
    one = client.tag_vm(asked.vm, add=signs["+"], remove=signs["-"])
    if asked.output == "json":
        show.data(one)
    else:
        show.note(f"Tags of VM {one['name']}: {', '.join(one['tags']) or 'none'}.")
    return 0


def _state(vm: Json) -> str:
    """With its reason, as far as libvirt knows one."""
    known = vm["reason"] not in {"", "unknown"}
    return f"{vm['state']} ({vm['reason']})" if known else str(vm["state"])


def _traits(traits: Json) -> list[tuple[str, object]]:
    """What is not as usual."""
    of_others = dict.fromkeys([*traits["foreign_snapshots"], *traits["internal_snapshots"]])
    jobs = ", ".join(f"{kind} of {target}" for target, kind in traits["block_jobs"].items())
    return [
        ("Agent", traits["agent"] or "no channel"),
        ("NVRAM", traits["nvram"]),
        ("TPM", traits["tpm"]),
        ("Of the host", ", ".join(traits["host_devices"])),
        ("Outside", ", ".join(traits["outside_devices"])),
        ("Transient", None if traits["persistent"] else "yes: it vanishes when it stops"),
        ("Managed save", "yes" if traits["managed_save"] else None),
        ("Of others", ", ".join(of_others)),
        ("Busy with", ", ".join(filter(None, (traits["activity"], jobs)))),
        ("Unreadable", traits["unreadable"]),
    ]


def show_one(client: Producer, asked: Namespace) -> int:
    """`vm show`."""
    one = client.vm(asked.vm)
    if asked.output == "json":
        show.data(one)
        return 0
    show.fields(
        (
            ("Name", one["name"]),
            ("Id", one["id"]),
            ("State", _state(one)),
            ("Host", one["host"]),
            ("Memory", show.size(one["memory_bytes"])),
            ("Current", one["current"] and one["current"]["name"]),
            ("Account", one["account"]),
            ("Domain", one["domain"]),
            ("Tags", ", ".join(one["tags"])),
            *_traits(one["traits"]),
            ("Seen", show.time(one["seen_at"])),
        )
    )
    print()
    rows = [
        (
            volume["target"],
            volume["format"],
            show.size(volume["virtual_bytes"]),
            show.size(volume["size_bytes"]),
            volume["depth"] or "-",
            show.size(volume["free_bytes"]),
            volume["why_not"] or "-",
            volume["path"],
        )
        for volume in one["volumes"]
    ]
    show.table(
        ("VOLUME", "FORMAT", "VIRTUAL", "TAKEN", "DEPTH", "FREE", "LEFT OUT BECAUSE", "IMAGE"),
        rows,
        "It has no volumes.",
    )
    return 0
