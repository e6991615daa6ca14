"""The grammar of `stillframe snapshot`."""

import argparse

from stillframe.cli.grammar import Verb, job_options, listed, owned

STATES = ("creating", "ready", "reverting", "deleting", "deleted", "error")
TYPES = ("cold", "hot", "memory")
ORIGINS = ("stillframe", "foreign")
#: Each also backwards, with a hyphen before it.
SORTS = ("created_at", "ready_at", "name", "vm", "state", "size_bytes")
A_SNAPSHOT = "VM/NAME, or an id or its last 6 or more characters, or a name that only one has"


def grow(verb: Verb) -> None:
    """The verbs of snapshots."""
    create = verb("create", "snapshots.create", "take a snapshot", changes=True)
    create.add_argument("vm", metavar="VM", help="name or id")
    create.add_argument(
        "--type", choices=TYPES, help="else what fits: hot when the VM runs, cold when it is off"
    )
    create.add_argument("--name", help="a-z A-Z 0-9 . _ -; else one is made from the time")
    create.add_argument("--display-name", metavar="TEXT", help="any words in any script")
    create.add_argument("--description", metavar="TEXT")
    create.add_argument(
        "--quiesce", choices=("require", "prefer", "never"), help="freeze the guest's filesystems"
    )
    create.add_argument("--tag", action="append", metavar="TAG", help="may be given several times")
    create.add_argument("--expires", metavar="TIME", help="7d, or ISO 8601: it is deleted then")
    job_options(create)

    _list(verb)
    _of_one(verb, "show", "show one snapshot")
    verb("tree", "snapshots.tree", "draw what grew out of what").add_argument("vm", metavar="VM")
    revert = _of_one(verb, "revert", "bring the VM back to a snapshot", changes=True)
    revert.add_argument(
        "--after",
        choices=("keep", "start", "stop"),
        help="a hot or cold snapshot: is the VM to run afterwards (keep)",
    )
    revert.add_argument("--yes", action="store_true", help="do not ask")
    job_options(revert)
    _delete(verb)
    edit = _of_one(verb, "edit", "change its words; what is not given stays", changes=True)
    edit.add_argument("--name", help="a-z A-Z 0-9 . _ -")
    edit.add_argument("--display-name", metavar="TEXT", help="any words in any script")
    edit.add_argument("--description", metavar="TEXT")
    edit.add_argument("--tag", action="append", metavar="TAG", help="in place of all it has; several")
    edit.add_argument("--no-tags", dest="tag", action="store_const", const=[])
    edit.add_argument("--expires", metavar="TIME", help="7d, or ISO 8601: it is deleted then")
    edit.add_argument("--no-expiry", action="store_true", help="it is not deleted by itself")
    hold = _of_one(verb, "hold", "keep a snapshot from being deleted or pruned", changes=True)
    hold.add_argument("--reason", required=True, metavar="TEXT", help="told to whoever wants to delete it")
    hold.add_argument("--until", metavar="TIME", help="7d, or ISO 8601; else until it is released")
    _of_one(verb, "release", "let a held snapshot be deleted and pruned again", changes=True)
    extract = _of_one(verb, "extract", "make a standalone image of one of its volumes", changes=True)
    extract.add_argument("target", metavar="VOLUME", help="such as vda")
    extract.add_argument("--name", help="else one is made from the time")
    job_options(extract)


def _list(verb: Verb) -> None:
    table = verb("list", "snapshots.show_list", "list snapshots, newest first")
    table.add_argument("--vm", help="name, or id, also of one that is gone")
    table.add_argument("--gone", action="store_true", help="also those of VMs that are gone")
    table.add_argument("--state", action="append", choices=STATES, help="may be given several times")
    table.add_argument("--type", choices=TYPES)
    table.add_argument("--origin", choices=ORIGINS, help="made by Stillframe, or by another tool")
    table.add_argument("--policy", help="made by this policy: name or id")
    table.add_argument("--tag", action="append", metavar="TAG", help="several: those that have all")
    table.add_argument("--current", action="store_true", default=None, help="only those VMs stand on now")
    table.add_argument(
        "--held",
        action=argparse.BooleanOptionalAction,
        help="only those that are neither deleted nor pruned, or may be",
    )
    table.add_argument(
        "--created-after", metavar="TIME", help="ISO 8601, such as 2026-01-31 or 2026-01-31T08:00+09:00"
    )
    table.add_argument("--created-before", metavar="TIME")
    table.add_argument("-q", metavar="TEXT", help="part of the name, display name or VM name, or an id's end")
    owned(table)
    sorts = [*SORTS, *(f"-{one}" for one in SORTS)]
    words = f"{', '.join(SORTS)}; the other way round as --sort=-created_at, which is what it is else"
    table.add_argument("--sort", choices=sorts, default="-created_at", metavar="BY", help=words)
    listed(table)


def _delete(verb: Verb) -> None:
    text = "delete snapshots, those of one VM together; the VM is left as it is"
    delete = verb("delete", "snapshots.delete", text, changes=True)
    delete.add_argument(
        "snapshots", metavar="SNAPSHOT", nargs="+", help=f"{A_SNAPSHOT}; several: all or none"
    )
    delete.add_argument("--yes", action="store_true", help="do not ask")
    job_options(delete)


def _of_one(verb: Verb, name: str, text: str, *, changes: bool = False) -> argparse.ArgumentParser:
    command = "show_one" if name == "show" else name  # `show` would shadow the module of that name
    one = verb(name, f"snapshots.{command}", text, changes=changes)
    one.add_argument("snapshot", metavar="SNAPSHOT", help=A_SNAPSHOT)
    return one
