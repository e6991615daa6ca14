"""`stillframe event ...`."""

import json
from argparse import Namespace
from contextlib import suppress
from typing import Any

from stillframe.cli import refs, show
from stillframe.cli.lists import items
from stillframe.client import Json, Producer
from stillframe.counting import counted


def show_list(client: Producer, asked: Namespace) -> int:
    """`event list`: the newest so many, the newest last; with --follow what comes after them too."""
    filters = {
        "vm": asked.vm,
        "snapshot": refs.snapshot_id(client, asked.snapshot) if asked.snapshot else None,
        "job": refs.job_id(client, asked.job) if asked.job else None,
        "type": _type(asked.type),
        "level": asked.level,
        "account": asked.account,
        "domain": asked.domain,
        "steps": asked.steps or (asked.type or "").startswith("step"),
    }
    if asked.follow:
        _follow(client, asked, filters)
        return 0
    found = items(client, client.events, asked, which="newest", **filters)[::-1]
    if asked.output == "json":
        show.data(found)
        return 0
    for event in found:
        _show(event, asked.output)
    if not found:
        show.note("No events.")
    return 0


def _type(asked: str | None) -> str | None:
    """`job` is short for `job.`, all that begin so."""
    return f"{asked}." if asked and "." not in asked else asked


def _follow(client: Producer, asked: Namespace, filters: Json) -> None:
    """Goes on until Ctrl-C, over restarts of the API; none is missed and none comes twice."""
    begin = {"after": 0} if asked.all else {"last": min(asked.limit, 1000)}
    with suppress(KeyboardInterrupt):
        for event in client.follow(**begin, **filters):
            _show(event, asked.output)


def _show(event: Json, output: str) -> None:
    if output == "json":
        print(json.dumps(event, ensure_ascii=False), flush=True)
        return
    vm = (event["vm"] or {}).get("name") or "-"  # one that was given away may have none
    who = event["actor"].partition("/")[0]  # of a worker, its host
    line = f"{show.time(event['at'])}  {event['type']:<18}  {show.pad(vm, 12)}  {who:<10}  {_words(event)}"
    print(show.plain(line.rstrip()), flush=True)


def _words(event: Json) -> str:
    """What it is about, then what was said."""
    noun, said = event["type"].partition(".")[0], event["message"]
    if event["type"] in {
        "snapshot.edited",
        "snapshot.held",
        "snapshot.released",
        "comment.added",
        "vm.tagged",
        "vm.on_two_hosts",
    }:
        return str(said)  # a whole sentence
    about = _ABOUT[noun](event) if noun in _ABOUT else ""
    if said in {about, (event["vm"] or {}).get("name")} or "findings" in event["data"]:
        said = ""
    return ": ".join(part for part in (about, said) if part)


def _of_job(event: Json) -> str:
    kind, snapshot = event["job_kind"] or event["data"].get("kind") or "", event["snapshot_name"]
    return f"{kind} of {snapshot}" if snapshot else kind


def _of_step(event: Json) -> str:
    step = str(event["data"].get("step", "")).replace("_", " ")
    return f"{_of_job(event)}: {step}"


def _of_volume(event: Json) -> str:
    out_of = f" out of {event['snapshot_name']}" if event["snapshot_name"] else ""
    return show.short(str(event["data"].get("volume_snapshot_id", ""))) + out_of


def _of_vm(event: Json) -> str:
    if account := event["data"].get("to_account"):
        return f"to account {account}"
    if findings := event["data"].get("findings"):
        return " ".join(_found(one) for one in findings)
    said = ((name, value) for name, value in event["data"].items() if name not in {"name", "trace"})
    return ", ".join(_change(name, value) for name, value in said)


def _of_host(event: Json) -> str:
    """Of a rescan where it was, and how much it found if it came to its end."""
    data = event["data"]
    found = f"{counted(data['findings'], 'finding')}, {data['left']} left" if "left" in data else ""
    return ": ".join(part for part in (str(data.get("host", "")), found) if part)


def _found(finding: Json) -> str:
    return " ".join(word for word in (finding["detail"], finding["remedy"]) if word)


def _of_webhook(event: Json) -> str:
    return str(event["data"].get("url", ""))


def _change(name: str, value: Any) -> str:
    """Of a volume that stands on another image only its name: the paths are long."""
    if not isinstance(value, dict):
        return f"{name} {value}"
    old, new = value.get("from"), value.get("to")
    return name if "/" in f"{old}{new}" else f"{name} {new}, was {old}"


_ABOUT = {
    "job": _of_job,
    "step": _of_step,
    "snapshot": lambda event: event["snapshot_name"] or "",
    "volume": _of_volume,
    "vm": _of_vm,
    "host": _of_host,
    "webhook": _of_webhook,
}
