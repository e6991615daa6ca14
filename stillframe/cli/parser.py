"""The grammar: a noun, then a verb. Knows argparse and nothing else, so that --help and --version stay light."""

import argparse
import sys

from stillframe import __version__
from stillframe.cli.grammar import job_options, listed, owned, sentence, verb_of

EPILOG = """\
exit codes: 0 ok, 1 failed, 2 usage, 3 skipped, 4 still going on, 5 refused (nothing was done)
A SNAPSHOT is an id, VM/NAME, or, when only one fits, a name or the last 6 or more characters of an id.
STILLFRAME_URL and STILLFRAME_KEY say where the API is; else var/stack.env here or in a folder above."""

JOB_STATES = (
    "queued", "running", "undoing", "succeeded", "failed", "cancelled", "skipped", "expired", "stuck"
)  # fmt: skip
LEVELS = ("info", "warning", "error")
A_VOLUME = "name, or id or its last 6 or more characters"
A_JOB = "id, or its last 6 or more characters"
#: Where a verb would shadow the module of its namesake.
COMMAND = {"show": "show_one"}


#: `typing` is left out: importing it costs a tenth of --help. Type checkers take this name as true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from stillframe.cli.grammar import Verbs


def parse(argv: list[str]) -> argparse.Namespace:
    """The command asked for; `command` names the function that does it. Exits with 2 on a usage error."""
    parser = argparse.ArgumentParser(
        prog="stillframe",
        description="VM snapshots as queued jobs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=None, verb=parser)
    parser.add_argument("--version", action="version", version=f"stillframe {__version__}")
    nouns = parser.add_subparsers(metavar="NOUN", prog="stillframe")
    word = next((word for word in argv if not word.startswith("-")), None)
    for name, (text, grow) in NOUNS.items():
        noun = nouns.add_parser(name, help=text, description=sentence(text), allow_abbrev=False)
        noun.set_defaults(verb=noun)
        if name == word:  # the others' verbs are not needed this time
            grow(noun.add_subparsers(metavar="VERB", prog=f"stillframe {name}"))
    for name, (command, text) in ALONE.items():
        verb_of(nouns, name, command, text)
    asked, left = parser.parse_known_args(argv)
    if left:
        asked.verb.error(f"unknown: {' '.join(left)}")
    if asked.command is None:
        asked.verb.print_help(sys.stderr)
        parser.exit(2)
    return asked


def _vm(verbs: "Verbs") -> None:
    table = verb_of(verbs, "list", "vms.show_list", "list VMs")
    table.add_argument("--host")
    table.add_argument("--state", choices=("running", "paused", "off", "crashed", "gone"))
    table.add_argument("-q", metavar="TEXT", help="part of the name")
    table.add_argument("--tag", action="append", metavar="TAG", help="several: those that have all")
    owned(table)
    listed(table)
    verb_of(verbs, "show", "vms.show_one", "show one VM with its volumes").add_argument("vm", metavar="VM")
    tag = verb_of(verbs, "tag", "vms.tag", "change its tags, which policies choose by", changes=True)
    tag.add_argument("vm", metavar="VM")
    assign = verb_of(
        verbs, "assign", "accounts.assign_vm", "give it to an account, with its snapshots", changes=True
    )
    assign.add_argument("vm", metavar="VM")
    assign.add_argument("--account", required=True, metavar="ACCOUNT", help="name, DOMAIN/NAME, or id")
    assign.add_argument("--idempotency-key", metavar="KEY", help="asking twice with one key asks once")
    tag.add_argument("tags", nargs=argparse.REMAINDER, metavar="+TAG -TAG", help="to add, and to take away")


def _comment(verbs: "Verbs") -> None:
    from stillframe.cli.snapshot_grammar import A_SNAPSHOT

    add = verb_of(verbs, "add", "comments.add", "add a comment", changes=True)
    add.add_argument("snapshot", metavar="SNAPSHOT", help=A_SNAPSHOT)
    add.add_argument("text", metavar="TEXT")
    table = verb_of(verbs, "list", "comments.show_list", "list a snapshot's comments")
    table.add_argument("snapshot", metavar="SNAPSHOT", help=A_SNAPSHOT)
    listed(table)


def _volume(verbs: "Verbs") -> None:
    table = verb_of(verbs, "list", "volumes.show_list", "list volume snapshots")
    table.add_argument("--vm")
    table.add_argument("--policy", help="extracted by this policy: name or id")
    table.add_argument("--state", choices=("creating", "ready", "deleted", "error"))
    owned(table)
    listed(table)
    verb_of(verbs, "show", "volumes.show_one", "show one").add_argument(
        "volume", metavar="VOLUME", help=A_VOLUME
    )
    delete = verb_of(verbs, "delete", "volumes.delete", "remove its image", changes=True)
    delete.add_argument("volume", metavar="VOLUME", help=A_VOLUME)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    job_options(delete)


def _job(verbs: "Verbs") -> None:
    table = verb_of(verbs, "list", "jobs.show_list", "list jobs, newest first")
    table.add_argument("--vm")
    table.add_argument("--state", action="append", choices=JOB_STATES, help="may be given several times")
    table.add_argument("--kind")
    table.add_argument("--host")
    table.add_argument("--snapshot", metavar="SNAPSHOT")
    owned(table)
    listed(table)
    for name, text, changes in (
        ("show", "show one job with its steps", False),
        ("watch", "follow a job until it has ended; Ctrl-C detaches", False),
        ("cancel", "ask a job to stop", True),
    ):
        verb = verb_of(verbs, name, f"jobs.{COMMAND.get(name, name)}", text, changes=changes)
        verb.add_argument("job", metavar="JOB", help=A_JOB)
    retry = verb_of(
        verbs, "retry", "jobs.retry", "ask again for what failed, was cancelled or expired", changes=True
    )
    retry.add_argument("job", metavar="JOB", help=A_JOB)
    job_options(retry)
    recover = verb_of(
        verbs, "recover", "recovery.recover", "look at a stuck job, or decide what becomes of it"
    )
    recover.add_argument("job", metavar="JOB", help=A_JOB)
    way = recover.add_mutually_exclusive_group()
    for flag, text in (
        ("inspect", "show how it stands and the ways out (this is what it does without a flag)"),
        ("resume", "let it go on the way it went, after what was in the way is gone"),
        ("rollback", "walk back what it did, while that is possible"),
        ("mark-done", "you have put it right by hand: close it as its host is found"),
    ):
        dest = flag.replace("-", "_")
        way.add_argument(
            f"--{flag}", dest="way", action="store_const", const=dest, default="inspect", help=text
        )
    recover.add_argument("--note", default="", metavar="TEXT", help="why, for those who read the events")
    recover.add_argument("--yes", action="store_true", help="do not ask")
    recover.add_argument("--wait", action="store_true", help="wait for the job's end; Ctrl-C detaches")


def _event(verbs: "Verbs") -> None:
    table = verb_of(verbs, "list", "events.show_list", "list the newest events, the newest last")
    table.add_argument("--vm")
    table.add_argument("--snapshot", metavar="SNAPSHOT")
    table.add_argument("--job", metavar="JOB")
    table.add_argument("--type", metavar="PREFIX", help="such as job.failed, or job for all of jobs")
    table.add_argument("--level", choices=LEVELS, help="this one or worse")
    table.add_argument(
        "--steps", action=argparse.BooleanOptionalAction, default=False, help="the steps of jobs too (no)"
    )
    table.add_argument(
        "--follow",
        action="store_true",
        help="go on with what happens, in JSON one object a line; Ctrl-C ends it",
    )
    owned(table)
    listed(table)


def _host(verbs: "Verbs") -> None:
    table = verb_of(verbs, "list", "hosts.show_list", "list hypervisors")
    either = argparse.BooleanOptionalAction
    table.add_argument("--alive", action=either, help="only those that were heard of lately, or were not")
    table.add_argument("--drained", action=either, help="only those that take no jobs, or that do")
    listed(table)
    for name, text, changes in (
        ("show", "show one hypervisor", False),
        ("drain", "let it take no new jobs; what it has begun runs to its end", True),
        ("undrain", "let it take jobs again", True),
    ):
        verb = verb_of(verbs, name, f"hosts.{COMMAND.get(name, name)}", text, changes=changes)
        verb.add_argument("host", metavar="HOST")
        if name == "drain":
            verb.add_argument("--reason", metavar="TEXT", help="told to whoever asks for a job there")
    rescan = verb_of(
        verbs, "rescan", "rescans.rescan", "compare the rows with what is on a host, and wait", changes=True
    )
    rescan.add_argument("host", metavar="HOST")
    rescan.add_argument("--vm", help="this VM only")
    rescan.add_argument("--adopt", action="store_true", help="take in snapshots that no row knows")
    rescan.add_argument("--repair", action="store_true", help="put right what is safe to put right")
    rescans = verb_of(verbs, "rescans", "rescans.show_list", "list the rescans of a host, newest first")
    rescans.add_argument("host", metavar="HOST")
    rescans.add_argument("--state", choices=("asked", "running", "done", "failed"))
    listed(rescans)


def _of(module: str, grow: str = "grow") -> "Callable[[Verbs], None]":
    """Verbs whose grammar is a module of its own, loaded when they are needed."""

    def those(verbs: "Verbs") -> None:
        from functools import partial
        from importlib import import_module

        getattr(import_module(f"stillframe.cli.{module}_grammar"), grow)(partial(verb_of, verbs))

    return those


NOUNS = {
    "vm": ("virtual machines", _vm),
    "snapshot": ("VMs at an instant", _of("snapshot")),
    "comment": ("people's words on snapshots", _comment),
    "volume": ("volumes extracted out of snapshots", _volume),
    "job": ("what was asked for and how it goes", _job),
    "policy": ("scheduled snapshots and what is kept", _of("policy")),
    "event": ("what has happened", _event),
    "webhook": ("URLs to which events are posted", _of("webhook")),
    "host": ("hypervisors", _host),
    "account": ("who owns VMs and snapshots", _of("account", "grow_account")),
    "domain": ("the tree that accounts live in", _of("account", "grow_domain")),
    "key": ("what lets a program in", _of("account", "grow_key")),
    "user": ("people who log in", _of("user")),
}
#: Without a verb: the function that does it, and what it does.
ALONE = {"whoami": ("users.whoami", "show whose key it is, and what it may do")}
