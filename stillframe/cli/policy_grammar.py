"""The grammar of `stillframe policy`."""

import argparse

from stillframe.cli.grammar import Verb, listed, owned

MODES = ("auto", "hot", "cold", "memory")
RUN_STATES = ("waiting", "asked", "stuck", "succeeded", "failed", "skipped", "missed", "refused")
A_POLICY = "name or id"
EDIT = """\
change a policy; what is not given stays

--cron and --every take the place of all schedules. Timezone, jitter, misfire, overlap, start and end stay:
of several schedules, those of the one at the same place (of the last one, if there are more now).
--timezone and --jitter alone change all schedules that are there.
--vm, --vm-tag and --host take the place of the whole selector: what is not given of them is gone.
A file takes the place of all of it; other options go on top."""
SELECTOR = "Which VMs: of several of one kind (--vm, --vm-tag, --host) any has to match, and all kinds given have to."


def grow(verb: Verb) -> None:
    """The verbs of policies."""
    create = verb("create", "policies.create", "make a policy", changes=True)
    create.add_argument("name", metavar="NAME", nargs="?", help="with --file, instead of the one in it")
    create.add_argument("--allow-empty", action="store_true", help="also if no VM is meant at this moment")
    create.epilog = SELECTOR
    _wish(create)
    edit = verb("edit", "policies.edit", "change a policy; what is not given stays", changes=True)
    edit.description, edit.epilog = EDIT, SELECTOR
    edit.formatter_class = argparse.RawDescriptionHelpFormatter
    edit.add_argument("policy", metavar="POLICY", help=A_POLICY)
    edit.add_argument("--rename", metavar="NAME")
    _wish(edit)
    table = verb("list", "policies.show_list", "list policies")
    table.add_argument("-q", metavar="TEXT", help="part of the name")
    table.add_argument("--vm", help="those that have fired for this VM")
    owned(table)
    listed(table)
    for name, command, text, changes in (
        ("show", "show_one", "show one policy", False),
        ("pause", "pause", "nothing fires any more, until a time or until it is resumed", True),
        (
            "resume",
            "resume",
            "it fires again, from now on, for all its VMs or for one that is set aside",
            True,
        ),
        ("run", "run", "fire it now, besides its schedules", True),
        ("runs", "runs", "list what became of its firings, newest first", False),
        ("vms", "vms", "list how its VMs fare, and which it has set aside", False),
        ("preview", "preview", "show the next runs, and what would be kept and pruned now", False),
        ("delete", "delete", "delete a policy; its snapshots stay", True),
    ):
        one = verb(name, f"policies.{command}", text, changes=changes)
        one.add_argument("policy", metavar="POLICY", help=A_POLICY)
        if name == "pause":
            one.add_argument(
                "--until", metavar="TIME", help="7d, or ISO 8601, such as 2026-12-01T08:00+09:00"
            )
        elif name == "runs":
            one.add_argument(
                "--state", action="append", choices=RUN_STATES, help="may be given several times"
            )
            one.add_argument("--vm")
            listed(one)
        elif name == "resume":
            one.add_argument("--vm", help="only this one, which it has set aside")
        elif name == "vms":
            one.add_argument("--set-aside", action="store_true", help="only those that are")
            one.add_argument("--vm")
            listed(one)
        elif name == "preview":
            one.add_argument("--runs", type=int, default=5, metavar="N", help="so many next runs (5)")
        elif name == "delete":
            one.add_argument("--yes", action="store_true", help="do not ask")


def _wish(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--vm", action="append", metavar="PATTERN", help="VMs by name, with * and ?; several: any of them"
    )
    verb.add_argument(
        "--vm-tag", action="append", metavar="TAG", help="VMs that have this tag; several: any of them"
    )
    verb.add_argument("--host", help="only VMs of this host")
    verb.add_argument(
        "--cron", action="append", metavar="'M H D M W'", help="five fields, or @daily; several"
    )
    verb.add_argument("--every", action="append", metavar="SPAN", help="30m, 6h, 7d; several")
    verb.add_argument("--timezone", metavar="ZONE", help="of all its schedules, such as Asia/Seoul (UTC)")
    verb.add_argument("--jitter", metavar="SPAN", help="spread its VMs over so long: 90s, 30m, or seconds")
    verb.add_argument("--keep", metavar="RULES", help="last=3,daily=7,weekly=4,within=2d,max_age=90d, or all")
    verb.add_argument(
        "--extract", action="append", metavar="VOLUME", help="made an image after each snapshot, such as vda"
    )
    verb.add_argument(
        "--no-extract", dest="extract", action="store_const", const=[], help="no images any more"
    )
    verb.add_argument("--keep-extracted", metavar="RULES", help="of these images, as --keep has it")
    verb.add_argument("--mode", choices=MODES, help="auto: hot when the VM runs, cold when it is off")
    verb.add_argument("--quiesce", choices=("require", "prefer", "never"))
    verb.add_argument(
        "--priority", choices=("normal", "low"), help="low: its jobs come after those of all other policies"
    )
    verb.add_argument(
        "--file", metavar="PATH", help="all of it as JSON, as `policy show -o json` has it; - is stdin"
    )
