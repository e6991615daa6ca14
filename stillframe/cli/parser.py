"""The grammar: a noun, then a verb. Knows argparse and nothing else, so that --help and --version stay light."""

import argparse
import sys

from stillframe import __version__

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

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


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
        noun = nouns.add_parser(name, help=text, description=_sentence(text), allow_abbrev=False)
        noun.set_defaults(verb=noun)
        if name == word:  # the others' verbs are not needed this time
            grow(noun.add_subparsers(metavar="VERB", prog=f"stillframe {name}"))
    for name, (command, text) in ALONE.items():
        _verb(nouns, name, command, text)
    asked, left = parser.parse_known_args(argv)
    if left:
        asked.verb.error(f"unknown: {' '.join(left)}")
    if asked.command is None:
        asked.verb.print_help(sys.stderr)
        parser.exit(2)
    return asked


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _verb(
    verbs: "Verbs", name: str, command: str, text: str, *, changes: bool = False
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=_sentence(text), allow_abbrev=False
    )
    verb.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="for people or programs"
    )
    verb.set_defaults(command=command, verb=verb, changes=changes)
    return verb


def _listed(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (50)")
    verb.add_argument("--all", action="store_true", help="all of them, however many")


def _owned(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--account", metavar="ACCOUNT", help="of this account: name, DOMAIN/NAME, or id")
    verb.add_argument("--domain", metavar="PATH", help="of this domain and those below it")


def _job_verb(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--wait", action="store_true", help="wait for the job's end and show how far it is; Ctrl-C detaches"
    )
    verb.add_argument(
        "--dry-run",
        action="store_true",
        help="show what it would do and cost; nothing is done. Exit code 5 if it would be refused",
    )
    verb.add_argument("--idempotency-key", metavar="KEY", help="asking twice with one key asks once")
    verb.add_argument(
        "--start-within",
        type=_seconds,
        metavar="TIME",
        help="not begun by then, the job expires and nothing is done: 90s, 15m, 12h, 2d",
    )
    verb.add_argument(
        "--timeout",
        type=_seconds,
        metavar="TIME",
        help="not ended so long after its beginning, it is stopped",
    )


def _seconds(text: str) -> float:
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 90s, 15m, 12h or 2d") from None
    if not 1 <= seconds <= 30 * 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; 1s to 30d can be had")
    return seconds


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _vm(verbs: "Verbs") -> None:
    listed = _verb(verbs, "list", "vms.show_list", "list VMs")
    listed.add_argument("--host")
    listed.add_argument("--state", choices=("running", "paused", "off", "crashed", "gone"))
    listed.add_argument("-q", metavar="TEXT", help="part of the name")
    listed.add_argument("--tag", action="append", metavar="TAG", help="several: those that have all")
    _owned(listed)
    _listed(listed)
    _verb(verbs, "show", "vms.show_one", "show one VM with its volumes").add_argument("vm", metavar="VM")
    tag = _verb(verbs, "tag", "vms.tag", "change its tags, which policies choose by", changes=True)
    tag.add_argument("vm", metavar="VM")
    assign = _verb(
        verbs, "assign", "accounts.assign_vm", "give it to an account, with its snapshots", changes=True
    )
    assign.add_argument("vm", metavar="VM")
    assign.add_argument("--account", required=True, metavar="ACCOUNT", help="name, DOMAIN/NAME, or id")
    assign.add_argument("--idempotency-key", metavar="KEY", help="asking twice with one key asks once")
    tag.add_argument("tags", nargs=argparse.REMAINDER, metavar="+TAG -TAG", help="to add, and to take away")


def _snapshot(verbs: "Verbs") -> None:
    from functools import partial

    from stillframe.cli.snapshot_grammar import grow

    grow(partial(_verb, verbs), _listed, _job_verb)


def _comment(verbs: "Verbs") -> None:
    from stillframe.cli.snapshot_grammar import A_SNAPSHOT

    add = _verb(verbs, "add", "comments.add", "add a comment", changes=True)
    add.add_argument("snapshot", metavar="SNAPSHOT", help=A_SNAPSHOT)
    add.add_argument("text", metavar="TEXT")
    listed = _verb(verbs, "list", "comments.show_list", "list a snapshot's comments")
    listed.add_argument("snapshot", metavar="SNAPSHOT", help=A_SNAPSHOT)
    _listed(listed)


def _volume(verbs: "Verbs") -> None:
    listed = _verb(verbs, "list", "volumes.show_list", "list volume snapshots")
    listed.add_argument("--vm")
    listed.add_argument("--policy", help="extracted by this policy: name or id")
    listed.add_argument("--state", choices=("creating", "ready", "deleted", "error"))
    _owned(listed)
    _listed(listed)
    _verb(verbs, "show", "volumes.show_one", "show one").add_argument(
        "volume", metavar="VOLUME", help=A_VOLUME
    )
    delete = _verb(verbs, "delete", "volumes.delete", "remove its image", changes=True)
    delete.add_argument("volume", metavar="VOLUME", help=A_VOLUME)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    _job_verb(delete)


def _job(verbs: "Verbs") -> None:
    listed = _verb(verbs, "list", "jobs.show_list", "list jobs, newest first")
    listed.add_argument("--vm")
    listed.add_argument("--state", action="append", choices=JOB_STATES, help="may be given several times")
    listed.add_argument("--kind")
    listed.add_argument("--host")
    listed.add_argument("--snapshot", metavar="SNAPSHOT")
    _owned(listed)
    _listed(listed)
    for name, text, changes in (
        ("show", "show one job with its steps", False),
        ("watch", "follow a job until it has ended; Ctrl-C detaches", False),
        ("cancel", "ask a job to stop", True),
    ):
        verb = _verb(verbs, name, f"jobs.{COMMAND.get(name, name)}", text, changes=changes)
        verb.add_argument("job", metavar="JOB", help=A_JOB)
    retry = _verb(
        verbs, "retry", "jobs.retry", "ask again for what failed, was cancelled or expired", changes=True
    )
    retry.add_argument("job", metavar="JOB", help=A_JOB)
    _job_verb(retry)
    recover = _verb(verbs, "recover", "recovery.recover", "look at a stuck job, or decide what becomes of it")
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
    listed = _verb(verbs, "list", "events.show_list", "list the newest events, the newest last")
    listed.add_argument("--vm")
    listed.add_argument("--snapshot", metavar="SNAPSHOT")
    listed.add_argument("--job", metavar="JOB")
    listed.add_argument("--type", metavar="PREFIX", help="such as job.failed, or job for all of jobs")
    listed.add_argument("--level", choices=LEVELS, help="this one or worse")
    listed.add_argument(
        "--steps", action=argparse.BooleanOptionalAction, default=False, help="the steps of jobs too (no)"
    )
    listed.add_argument(
        "--follow",
        action="store_true",
        help="go on with what happens, in JSON one object a line; Ctrl-C ends it",
    )
    _owned(listed)
    _listed(listed)


def _host(verbs: "Verbs") -> None:
    listed = _verb(verbs, "list", "hosts.show_list", "list hypervisors")
    either = argparse.BooleanOptionalAction
    listed.add_argument("--alive", action=either, help="only those that were heard of lately, or were not")
    listed.add_argument("--drained", action=either, help="only those that take no jobs, or that do")
    _listed(listed)
    for name, text, changes in (
        ("show", "show one hypervisor", False),
        ("drain", "let it take no new jobs; what it has begun runs to its end", True),
        ("undrain", "let it take jobs again", True),
    ):
        verb = _verb(verbs, name, f"hosts.{COMMAND.get(name, name)}", text, changes=changes)
        verb.add_argument("host", metavar="HOST")
        if name == "drain":
            verb.add_argument("--reason", metavar="TEXT", help="told to whoever asks for a job there")
    rescan = _verb(
        verbs, "rescan", "rescans.rescan", "compare the rows with what is on a host, and wait", changes=True
    )
    rescan.add_argument("host", metavar="HOST")
    rescan.add_argument("--vm", help="this VM only")
    rescan.add_argument("--adopt", action="store_true", help="take in snapshots that no row knows")
    rescan.add_argument("--repair", action="store_true", help="put right what is safe to put right")
    rescans = _verb(verbs, "rescans", "rescans.show_list", "list the rescans of a host, newest first")
    rescans.add_argument("host", metavar="HOST")
    rescans.add_argument("--state", choices=("asked", "running", "done", "failed"))
    _listed(rescans)


def _policy(verbs: "Verbs") -> None:
    from functools import partial

    from stillframe.cli.policy_grammar import grow

    grow(partial(_verb, verbs), _listed, _owned)


def _accounts(noun: str) -> "Callable[[Verbs], None]":
    def grow(verbs: "Verbs") -> None:
        from functools import partial

        from stillframe.cli import account_grammar

        getattr(account_grammar, f"grow_{noun}")(partial(_verb, verbs), _listed)

    return grow


def _user(verbs: "Verbs") -> None:
    from functools import partial

    from stillframe.cli.user_grammar import grow

    grow(partial(_verb, verbs), _listed)


def _webhook(verbs: "Verbs") -> None:
    from functools import partial

    from stillframe.cli.webhook_grammar import grow

    grow(partial(_verb, verbs), _listed, _owned)


NOUNS = {
    "vm": ("virtual machines", _vm),
    "snapshot": ("VMs at an instant", _snapshot),
    "comment": ("people's words on snapshots", _comment),
    "volume": ("volumes extracted out of snapshots", _volume),
    "job": ("what was asked for and how it goes", _job),
    "policy": ("scheduled snapshots and what is kept", _policy),
    "event": ("what has happened", _event),
    "webhook": ("URLs to which events are posted", _webhook),
    "host": ("hypervisors", _host),
    "account": ("who owns VMs and snapshots", _accounts("account")),
    "domain": ("the tree that accounts live in", _accounts("domain")),
    "key": ("what lets a program in", _accounts("key")),
    "user": ("people who log in", _user),
}
#: Without a verb: the function that does it, and what it does.
ALONE = {"whoami": ("users.whoami", "show whose key it is, and what it may do")}
