"""`stillframe snapshot ...`."""

from argparse import Namespace

from stillframe.cli import deleting, refs, show
from stillframe.cli.asking import ask, limits
from stillframe.cli.lists import items
from stillframe.cli.sure import sure
from stillframe.cli.tree import drawn
from stillframe.cli.usage import Usage
from stillframe.client import Json, Producer
from stillframe.operations import CreateSnapshot, ExtractVolume, RevertSnapshot

REFUSED = 5


def create(client: Producer, asked: Namespace) -> int:
    """`snapshot create`."""
    wishes = {
        "type": asked.type,
        "name": asked.name,
        "display_name": asked.display_name,
        "description": asked.description,
        "quiesce": asked.quiesce,
        "tags": tuple(asked.tag) if asked.tag else None,
        "expires_at": asked.expires,
    }
    given = {name: value for name, value in wishes.items() if value is not None}
    return ask(client, asked, CreateSnapshot(vm=asked.vm, **given, **limits(asked)))


def show_list(client: Producer, asked: Namespace) -> int:
    """`snapshot list`."""
    found = items(
        client,
        client.snapshots,
        asked,
        which="newest" if asked.sort == "-created_at" else "first",
        vm=asked.vm,
        state=asked.state,
        type=asked.type,
        origin=asked.origin,
        current=asked.current,
        held=asked.held,
        policy=asked.policy,
        tag=asked.tag,
        created_after=asked.created_after,
        created_before=asked.created_before,
        q=asked.q,
        sort=asked.sort,
        gone=asked.gone or None,
        account=asked.account,
        domain=asked.domain,
    )
    if asked.output == "json":
        show.data(found)
        return 0
    foreign = any(one["origin"] == "foreign" for one in found)
    heads = ("STATE", "TYPE", "CURRENT", "SIZE", "CREATED", "ID")
    heads = ("VM", "NAME", "DISPLAY NAME", *(("ORIGIN",) if foreign else ()), *heads)
    rows = [
        (
            *(_vm(one), one["name"], _title(one)),
            *((one["origin"],) if foreign else ()),
            *(_state(one), one["type"], "*" if one["current"] else "", _taken(one)),
            *(show.time(one["created_at"]), show.Id(one["id"])),
        )
        for one in found
    ]
    show.table(heads, rows, "No snapshots.")
    return 0


def show_one(client: Producer, asked: Namespace) -> int:
    """`snapshot show`."""
    one = client.snapshot(refs.snapshot_id(client, asked.snapshot))
    if asked.output == "json":
        show.data(one)
        return 0
    show.fields(_facts(one))
    print()
    rows = [
        (
            volume["target"],
            show.size(volume["virtual_bytes"]),
            show.size(volume["size_bytes"]),
            volume["layer"],
        )
        for volume in one["volumes"]
    ]
    show.table(("VOLUME", "VIRTUAL", "TAKEN", "LAYER"), rows, "It has no layers yet.")
    print()
    can = [
        (name, "yes" if may["allowed"] else "no", may["reason"] or "") for name, may in one["actions"].items()
    ]
    show.table(("ACTION", "ALLOWED", "WHY NOT"), can, "")
    if one["error"]:
        print()
        show.problem(one["error"], asked.output)
    return 0


def tree(client: Producer, asked: Namespace) -> int:
    """`snapshot tree`."""
    vm = client.vm(asked.vm)
    found = list(client.every(client.snapshots, vm=vm["id"], sort="created_at", limit=200))
    if asked.output == "json":
        show.data(found)
        return 0
    grown = [one for one in found if one["state"] != "error" or one["volumes"]]
    for line in drawn(vm, grown):
        print(line)
    if failed := len(found) - len(grown):
        show.note(
            f"Left out: {failed} that failed (stillframe snapshot list --vm {vm['name']} --state error)."
        )
    return 0


def revert(client: Producer, asked: Namespace) -> int:
    """`snapshot revert`."""
    id_ = refs.snapshot_id(client, asked.snapshot)
    if not _sure(client, asked, id_, "Bring VM {vm} back to snapshot {name}? What it is now will be lost."):
        return REFUSED
    after = {"after": asked.after} if asked.after else {}
    return ask(client, asked, RevertSnapshot(snapshot_id=id_, **after, **limits(asked)))


def delete(client: Producer, asked: Namespace) -> int:
    """`snapshot delete`."""
    return deleting.delete(client, asked, limits(asked))


def edit(client: Producer, asked: Namespace) -> int:
    """`snapshot edit`."""
    wishes = {
        "name": asked.name,
        "display_name": asked.display_name,
        "description": asked.description,
        "tags": asked.tag,
        "expires_at": asked.expires,
    }
    given = {name: value for name, value in wishes.items() if value is not None}
    if asked.no_expiry:
        given["expires_at"] = None
    if not given:
        raise Usage(detail="nothing is to be changed; --help shows what can be")
    return _changed(
        client.edit_snapshot(refs.snapshot_id(client, asked.snapshot), given), asked, "is changed"
    )


def hold(client: Producer, asked: Namespace) -> int:
    """`snapshot hold`."""
    id_ = refs.snapshot_id(client, asked.snapshot)
    one = client.hold_snapshot(id_, asked.reason, asked.until)
    until = one["hold"] and one["hold"]["until"] and show.time(one["hold"]["until"])
    return _changed(one, asked, f"is held until {until or 'it is released'}")


def release(client: Producer, asked: Namespace) -> int:
    """`snapshot release`."""
    id_ = refs.snapshot_id(client, asked.snapshot)
    return _changed(client.release_snapshot(id_), asked, "is not held")


def _changed(one: Json, asked: Namespace, what: str) -> int:
    if asked.output == "json":
        show.data(one)
        return 0
    show.note(f"Snapshot {one['name']} of VM {one['vm']['name']} {what}.")
    return 0


def extract(client: Producer, asked: Namespace) -> int:
    """`snapshot extract`."""
    id_ = refs.snapshot_id(client, asked.snapshot)
    wish = ExtractVolume(snapshot_id=id_, target=asked.target, name=asked.name, **limits(asked))
    return ask(client, asked, wish)


def _sure(client: Producer, asked: Namespace, id_: str, question: str) -> bool:
    def filled() -> str:
        one = client.snapshot(id_)
        return question.format(vm=one["vm"]["name"], name=one["name"])

    return asked.dry_run or sure(asked, filled)


def _state(one: Json) -> str:
    return f"{one['state']}, held" if one["held"] else str(one["state"])


def _title(one: Json) -> str | None:
    """Its display name, if it has one of its own."""
    return None if one["display_name"] == one["name"] else str(one["display_name"])


def _vm(one: Json) -> str:
    """The name of its VM, and that it is gone if it is."""
    name = str(one["vm"]["name"])
    return f"{name} (gone)" if one["vm_state"] == "gone" else name


def _origin(foreign: Json | None) -> str | None:
    """Of a snapshot of another tool, what it is and who knows it."""
    if foreign is None:
        return None
    by = "known to libvirt" if foreign["known_to_libvirt"] else "only the images have it"
    return f"another tool ({foreign['kind']}, {by})"


def _held(hold: Json | None) -> str | None:
    if hold is None:
        return None
    until = f", until {show.time(hold['until'])}" if hold["until"] else ""
    return f"by {hold['by']}{until}: {hold['reason']}"


def _taken(one: Json) -> str:
    """What its layers take; of what another tool made in its own way, nobody knows."""
    return "-" if one.get("foreign") else show.size(one["size_bytes"])


def _facts(one: Json) -> list[tuple[str, object]]:
    return [
        ("Name", one["name"]),
        ("Display name", _title(one)),
        ("Id", one["id"]),
        ("VM", f"{_vm(one)} ({one['vm']['id']})"),
        ("State", one["state"]),
        ("Type", one["type"]),
        ("Origin", _origin(one.get("foreign"))),
        ("Consistency", one["consistency"]),
        ("Current", "yes" if one["current"] else "no"),
        ("Host", one["host"]),
        ("Account", one["account"]),
        ("Domain", one["domain"]),
        ("Created", show.time(one["created_at"])),
        ("Expires", one["expires_at"] and show.time(one["expires_at"])),
        ("Policy", one["policy_id"]),
        ("Ready", one["ready_at"] and show.time(one["ready_at"])),
        ("Size", _taken(one)),
        ("Memory", show.size(one["memory_bytes"]) if one["memory_bytes"] else None),
        ("VM paused", None if one["pause_ms"] is None else f"{one['pause_ms']:g} ms"),
        ("Frozen", f"{one['freeze_ms']:g} ms" if one["freeze_ms"] else None),
        ("Held", _held(one["hold"])),
        ("Tags", ", ".join(one["tags"])),
        ("Description", one["description"]),
    ]
