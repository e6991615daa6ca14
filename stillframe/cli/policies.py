"""`stillframe policy ...`."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from stillframe.cli import policy_details, policy_wishes, show
from stillframe.cli.lists import items
from stillframe.cli.sure import sure
from stillframe.client import Json, Producer
from stillframe.client.answers import Judged, Page, PolicyVm, Run, Turn
from stillframe.counting import counted

REFUSED = 5


def create(client: Producer, asked: Namespace) -> int:
    """`policy create`."""
    made = client.create_policy(policy_wishes.new(asked), allow_empty=asked.allow_empty)
    return _told(asked, made, "is made")


def edit(client: Producer, asked: Namespace) -> int:
    """`policy edit`: what is not given stays."""
    policy_wishes.check_asked(asked)
    present = client.policy(asked.policy)
    changed = policy_wishes.changed(asked, dict(present))
    return _told(asked, client.edit_policy(present["id"], changed), "is changed")


def show_list(client: Producer, asked: Namespace) -> int:
    """`policy list`."""
    filters = {name: getattr(asked, name) for name in ("q", "vm", "account", "domain")}
    found = items(client, client.policies, asked, **filters)
    if asked.output == "json":
        show.data(found)
        return 0
    heads = ("NAME", "STATE", "NEXT", "WHEN", "VMS", "KEEPS", "MODE", "ID")
    rows = [
        (
            *(one["name"], _state(one), show.time(one["next_fire_at"]), _when(one["schedules"])),
            *(_selector(one["selector"]), _keeps(one["retention"]), one["mode"], show.Id(one["id"])),
        )
        for one in found
    ]
    show.table(heads, rows, "No policies. `stillframe policy create --help` shows how one is made.")
    return 0


def show_one(client: Producer, asked: Namespace) -> int:
    """`policy show`."""
    one = client.policy(asked.policy)
    if asked.output == "json":
        show.data(one)
        return 0
    show.fields(
        (
            ("Name", one["name"]),
            ("Id", one["id"]),
            ("State", _state(one)),
            ("Why", one["suspended"] and one["suspended"]["reason"]),
            ("Next", show.time(one["next_fire_at"])),
            ("When", _when(one["schedules"])),
            ("VMs", _selector(one["selector"])),
            ("Takes", f"{one['mode']}, quiesce {one['quiesce']}, {one['priority']} priority"),
            ("Keeps", _keeps(one["retention"])),
            ("Spread", policy_details.jitter(one["schedules"])),
            ("Missed", policy_details.misfire(one["schedules"])),
            ("Guards", policy_details.guards(one["guards"])),
            ("Not", policy_details.blackouts(one["blackouts"])),
            ("Extracts", _extracts(one["extract"])),
            ("Set aside", _set_aside(one)),
            ("Account", one["account"]),
            ("Domain", one["domain"]),
            ("Made", f"{show.time(one['created_at'])} by {one['created_by']}"),
        )
    )
    return 0


def pause(client: Producer, asked: Namespace) -> int:
    """`policy pause`."""
    return _told(asked, client.pause_policy(asked.policy, asked.until), "is paused")


def resume(client: Producer, asked: Namespace) -> int:
    """`policy resume`."""
    what = f"takes snapshots of {asked.vm} again" if asked.vm else "fires again"
    return _told(asked, client.resume_policy(asked.policy, asked.vm), what)


def vms(client: Producer, asked: Namespace) -> int:
    """`policy vms`."""

    def page(**filters: Any) -> Page[PolicyVm]:
        return client.policy_vms(asked.policy, **filters)

    found = items(client, page, asked, set_aside=asked.set_aside or None, vm=asked.vm)
    if asked.output == "json":
        show.data(found)
        return 0
    rows = [
        (
            *(one["vm"]["name"], "set aside" if one["set_aside"] else "on", show.time(one["last_good_at"])),
            *(one["failures"] or None, one["set_aside"]["reason"] if one["set_aside"] else one["refused"]),
        )
        for one in found
    ]
    show.table(("VM", "STATE", "LAST GOOD", "FAILED SINCE", "WHY"), rows, "It has fired for no such VM yet.")
    return 0


def run(client: Producer, asked: Namespace) -> int:
    """`policy run`."""
    found = client.run_policy(asked.policy)["items"]
    if asked.output == "json":
        show.data(found)
        return 0
    means = "1 VM when it has its turn" if len(found) == 1 else f"{len(found)} VMs as they have their turn"
    print(f"Policy {asked.policy} fires for {means}.")
    show.note(f"`stillframe policy runs {asked.policy}` shows what becomes of it.")
    return 0


def runs(client: Producer, asked: Namespace) -> int:
    """`policy runs`."""

    def page(**filters: Any) -> Page[Run]:
        return client.policy_runs(asked.policy, **filters)

    found = items(client, page, asked, "newest", state=asked.state, vm=asked.vm)
    if asked.output == "json":
        show.data(found)
        return 0
    rows = [
        (
            *(show.time(one["nominal_at"]), one["vm"] and one["vm"]["name"], one["state"]),
            *(show.time(one["due_at"]), _why(one), one["job_id"] and show.Id(one["job_id"])),
        )
        for one in found
    ]
    show.table(("DUE", "VM", "STATE", "TURN", "WHY", "JOB"), rows, "It has not fired yet.")
    return 0


def preview(client: Producer, asked: Namespace) -> int:
    """`policy preview`."""
    found = client.policy_preview(asked.policy, asked.runs)
    if asked.output == "json":
        show.data(found)
        return 0
    rows = [
        (
            show.time(one["at"]),
            one["local"].replace("T", " "),
            ", ".join(_turn(turn) for turn in one["turns"]) or "no VM",
        )
        for one in found["runs"]
    ]
    _warn(found["warnings"])
    show.table(("NEXT", "THERE", "VMS"), rows, "Nothing is to come: it is paused, or its schedules are over.")
    for vm in found["vms"]:
        _show_judged(vm["vm"]["name"], "SNAPSHOT", vm["snapshots"])
    for volume in found["volumes"]:
        _show_judged(f"{volume['vm']['name']}, images of {volume['target']}", "VOLUME", volume["images"])
    return 0


def _show_judged(of: str, what: str, judged: Sequence[Judged]) -> None:
    print(f"\n{of}:")
    rows = [
        (
            *("keep" if one["keep"] else "PRUNE", one["name"], show.time(one["created_at"])),
            *(show.size(one["size_bytes"]), "; ".join(one["reasons"])),
        )
        for one in judged
    ]
    show.table(("", what, "TAKEN", "SIZE", "WHY"), rows, "")


def delete(client: Producer, asked: Namespace) -> int:
    """`policy delete`."""
    if not sure(
        asked, lambda: f"Delete policy {asked.policy}? Its snapshots stay, and nothing prunes them any more."
    ):
        return REFUSED
    gone = client.delete_policy(asked.policy)
    if asked.output == "json":
        show.data(gone)
        return 0
    print(f"Policy {asked.policy} is deleted. Its snapshots stay; `stillframe snapshot delete` deletes them.")
    if gone["skipped"]:
        by_hand = f" ({gone['asked_for']} by `policy run`)" if gone["asked_for"] else ""
        waited = counted(gone["skipped"], "firing")
        show.note(f"Beware: {waited}{by_hand} still waited in line, and will not take place.")
    return 0


def _told(asked: Namespace, policy: Json, what: str) -> int:
    if asked.output == "json":
        show.data(policy)
        return 0
    print(f"Policy {policy['name']} {what}. Next: {show.time(policy['next_fire_at'])}.")
    _warn(policy.get("warnings", ()))
    return 0


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        show.note(f"Beware: {warning}.")


def _state(one: Json) -> str:
    if one["suspended"]:
        return "suspended"
    if one["paused_until"]:
        return f"paused until {show.time(one['paused_until'])}"
    if not one["enabled"]:
        return "paused"
    return f"on, {counted(one['set_aside'], 'VM')} set aside" if one["set_aside"] else "on"


def _turn(turn: Turn) -> str:
    return f"{turn['vm']['name']} (set aside)" if turn["set_aside"] else turn["vm"]["name"]


def _set_aside(one: Json) -> str:
    after = f"after {counted(one['max_failures'], 'failure')} in a row"
    if not one["set_aside"]:
        return f"no VM; one is {after}"
    return f"{counted(one['set_aside'], 'VM')} {after}; see `stillframe policy vms {one['name']} --set-aside`"


def _when(schedules: Sequence[Json]) -> str:
    return "; ".join(
        f"{one['cron']} {one['timezone']}" if one["cron"] else f"every {one['every']}" for one in schedules
    )


def _selector(selector: Json) -> str:
    """Of one kind any has to match, and all kinds have to."""
    kinds = (
        selector["names"],
        [f"tag {tag}" for tag in selector["tags"]],
        [f"id {id_[-8:]}" for id_ in selector["ids"]],
        *([f"{name} {selector[name]}"] for name in ("host", "account", "domain") if selector[name]),
    )
    return ", and ".join(" or ".join(kind) for kind in kinds if kind)


def _keeps(retention: Json) -> str:
    given = [f"{name} {value}" for name, value in retention.items() if value and name != "min_keep"]
    return ", ".join(given) or "all"


def _extracts(extract: Mapping[str, Any] | None) -> str | None:
    if extract is None:
        return None
    return f"{', '.join(extract['targets'])}; keeps {_keeps(extract['retention'])}"


def _why(one: Json) -> str | None:
    if one["moments"] == 1:
        asked = one["asked_by"] and f"asked for by {one['asked_by']}"
        return "; ".join(word for word in (asked, one["reason"]) if word) or None
    return f"{one['moments']} moments until {show.time(one['until_at'])}: {one['reason']}"
