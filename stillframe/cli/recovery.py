"""`stillframe job recover`: what is known of a stuck job, and what a person decides about it."""

import json
from argparse import Namespace
from collections.abc import Iterator

from stillframe.cli import jobs, refs, show, waiting
from stillframe.cli.sure import sure
from stillframe.client import Json, Producer

REFUSED = 5


def recover(client: Producer, asked: Namespace) -> int:
    """`job recover`."""
    id_ = refs.job_id(client, asked.job)
    found = client.inspect_job(id_) if asked.way == "inspect" or not asked.yes else None
    if found and asked.way == "inspect":
        _inspect(found, asked.output)
        return 0
    # One that is not open is asked for all the same, so that the refusal comes in the API's own words.
    if found and found["ways"][asked.way]["allowed"]:
        happens = found["ways"][asked.way]["what_happens"]
        if not sure(asked, lambda: f"{happens} {asked.way.replace('_', ' ').capitalize()}?"):
            return REFUSED
    job = client.recover_job(id_, asked.way, asked.note)
    if asked.wait:
        return waiting.watch(client, job, asked.output)
    if asked.output == "json":
        show.data(job)
    elif job["state"] == "failed":
        waiting.ended(job, asked.output)
    else:
        show.note(
            f"{show.kind(job)} of VM {job['vm']['name']} is {job['state']} again on host {job['host']}."
        )
        show.note(f"`stillframe job watch {job['id']}` shows how it goes.")
    return 0


def _inspect(found: Json, output: str) -> None:
    if output == "json":
        show.data(found)
        return
    jobs.details(found["job"])
    print()
    _show_vm(found)
    if error := found["job"]["error"]:
        print()
        _show_error(error)
    print()
    lines = [(show.time(event["at"]), event["type"], _about(event)) for event in found["events"]]
    show.table(("AT", "EVENT", "ABOUT"), lines, "No events.")
    _show_ways(found["ways"])


def _show_ways(ways: Json) -> None:
    """Each with what comes of it, or why it is not open; what is said of several is said once."""
    said: dict[str, list[str]] = {}
    for way, may in ways.items():
        open_ = f"--{way.replace('_', '-')}: {'open' if may['allowed'] else 'not open'}"
        said.setdefault(may["what_happens"] if may["allowed"] else may["reason"], []).append(open_)
    for words, heads in said.items():
        print()
        print("\n".join(heads))
        print(f"  {show.plain(words)}")


def _show_vm(found: Json) -> None:
    went = {"forward": "forward", "back": "back: it was walked back", None: None}[found["direction"]]
    show.fields(
        (
            *_as_seen(found["vm"]),
            ("Went", went),
            ("Point of no return", "passed" if found["past_no_return"] else "not passed"),
        )
    )


def _as_seen(vm: Json | None) -> Iterator[tuple[str, str]]:
    if vm is None:
        yield "VM now", "given to another account since"
        return
    yield "VM now", f"{vm['state']} ({vm['reason']})" if vm["reason"] else vm["state"]
    yield "Seen", show.time(vm["seen_at"])
    for volume in vm["volumes"]:
        yield f"Volume {volume['target']}", volume["path"]


def _show_error(error: Json) -> None:
    print(show.plain(error["detail"]))
    for name, value in (error.get("evidence") or {}).items():
        if name not in {"detail", "steps", "phase", "was"}:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
            for number, line in enumerate(text.splitlines()):
                print(f"  {name}: {show.plain(line)}" if number == 0 else f"  {show.plain(line)}")


def _about(event: Json) -> str:
    return str(event["data"].get("step") or event["message"] or "")
