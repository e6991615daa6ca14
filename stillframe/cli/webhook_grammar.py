"""The grammar of `stillframe webhook`."""

import argparse

from stillframe.cli.grammar import Verb, listed, owned

LEVELS = ("info", "warning", "error")
STATES = ("waiting", "delivered", "dead")
A_WEBHOOK = "id, or its last 6 or more characters"


def grow(verb: Verb) -> None:
    """The verbs of webhooks."""
    create = verb(
        "create", "webhooks.create", "post events to a URL; shows the secret, this once", changes=True
    )
    create.add_argument("url", metavar="URL")
    _wish(create)
    edit = verb("edit", "webhooks.edit", "change a webhook; what is not given stays", changes=True)
    edit.add_argument("webhook", metavar="WEBHOOK", help=A_WEBHOOK)
    edit.add_argument("--url")
    _wish(edit)
    table = verb("list", "webhooks.show_list", "list webhooks")
    owned(table)
    listed(table)
    for name, command, text, changes in (
        ("show", "show_one", "show one webhook", False),
        ("ping", "ping", "send it an event and show how that went", True),
        ("pause", "pause", "send nothing until it is resumed; what happens meanwhile is kept", True),
        ("resume", "resume", "go on, also with one that was suspended", True),
        ("secret", "secret", "give it another secret, shown this once; for a day both sign", True),
        ("deliveries", "deliveries", "list what was or is to be sent, the last event first", False),
        ("replay", "replay", "send a delivery again, or all that are dead", True),
        ("delete", "delete", "send nothing any more", True),
    ):
        one = verb(name, f"webhooks.{command}", text, changes=changes)
        one.add_argument("webhook", metavar="WEBHOOK", help=A_WEBHOOK)
        if name == "resume":
            one.add_argument("--skip", action="store_true", help="leave out what happened meanwhile")
        elif name == "deliveries":
            one.add_argument("--state", action="append", choices=STATES, help="may be given several times")
            listed(one)
        elif name == "replay":
            which = one.add_mutually_exclusive_group(required=True)
            which.add_argument("delivery", metavar="DELIVERY", nargs="?", help="its id")
            which.add_argument("--dead", action="store_true", help="all that are dead")
        elif name == "delete":
            one.add_argument("--yes", action="store_true", help="do not ask")


def _wish(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--type",
        action="append",
        metavar="TYPE",
        help="such as job.failed, or job. for all that begin so; several (all but steps)",
    )
    verb.add_argument("--level", choices=LEVELS, help="this one or worse")
    verb.add_argument("--vm", help="of this VM only; '' means all again")
    verb.add_argument("--description", metavar="TEXT")
