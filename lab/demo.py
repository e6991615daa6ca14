"""`make demo`: brings the whole stack up, makes a real guest, and goes through every operation with it.

Each act runs the command line as a person would and then proves, by what the guest itself wrote, that it did what it
says. Ends 1 when a proof fails. The stack and the guest stay, to be played with.
"""

from __future__ import annotations

import os
import re
import sys
import time

from lab.errors import LabError
from lab.guest import Guest
from lab.lab import default_var
from lab.stack import ROOT, Addresses, Stack
from lab.stage import Clock, NotProven, Stage, say
from lab.tour import Tour
from stillframe.client import Producer
from stillframe.errors import StillframeError

NAME = "demo"


def main() -> int:
    """The tour; 0 if all was proven."""
    clock = Clock()
    try:
        _check_machine()
        stack = Stack()
        say("Starting Postgres, Redis, libvirtd, API, worker, control worker, beat and Flower.")
        addresses = stack.up()
        guest = _fresh_guest(stack)
        stage = Stage(addresses)
        with Producer(addresses["URL"], addresses["KEY"]) as client:
            _wait_until_known(client, guest)
            say(f"The stack is up and guest {guest.name} has booted, {clock} from the beginning.")
            Tour(stage, client, guest).play()
    except NotProven as failure:
        say(f"\nNOT PROVEN: {failure}")
        say(f"The logs are in {default_var()}/stack; the stack stays up, `make down` stops it.")
        return 1
    except (LabError, StillframeError) as error:
        say(f"\nThe tour could not go on: {error}")
        say(f"The logs are in {default_var()}/stack; `make down` stops what was started.")
        return 1
    say(f"\nAll {stage.proofs} proofs hold, {clock} from the beginning.\n")
    _what_next(addresses, guest)
    return 0


def _check_machine() -> None:
    if os.environ.get("STILLFRAME_LIBVIRT_URI"):
        raise LabError(
            "STILLFRAME_LIBVIRT_URI is set, and the tour plays on the lab's own libvirt only; unset it and start again"
        )


def _fresh_guest(stack: Stack) -> Guest:
    """A new guest. Those of tours before are powered off and kept, for their snapshots are theirs."""
    taken = {guest.name for guest in stack.lab.guests()}
    for guest in stack.lab.guests():
        if re.fullmatch(rf"{NAME}(-\d+)?", guest.name) and guest.is_active:
            guest.destroy()
            say(
                f"Guest {guest.name} of the tour before is powered off and kept; "
                f"`.venv/bin/python -m lab guest {guest.name} --remove` removes it."
            )
    name = next(name for name in _names() if name not in taken)
    guest = stack.lab.create_guest(name, ("qcow2", "raw", "qcow2"))
    guest.wait_tick(timeout_s=120)
    guest.wait_agent()
    return guest


def _names() -> list[str]:
    return [NAME, *(f"{NAME}-{number}" for number in range(2, 1000))]


def _wait_until_known(client: Producer, guest: Guest, timeout_s: float = 30) -> None:
    """The host's keeper has seen it: from here on it can be asked for."""
    deadline, uuid = time.monotonic() + timeout_s, guest.uuid
    while True:
        try:
            if client.vm(uuid)["state"] == "running":
                return
        except StillframeError as problem:
            if problem.code != "vm.not_found":
                raise
        if time.monotonic() > deadline:
            raise LabError(f"the worker has not noticed guest {guest.name} in {timeout_s:g} s")
        time.sleep(0.1)


def _what_next(addresses: Addresses, guest: Guest) -> None:
    user, _, password = addresses["FLOWER_LOGIN"].partition(":")
    say("The stack stays up, and so does the guest:")
    say(f"  API      {addresses['URL']}/docs")
    say(f"  Flower   {addresses['FLOWER_URL']}   user {user}, password {password}")
    say("\nTry next:")
    if default_var().resolve() != (ROOT / "var").resolve():  # the command line looks for var/stack.env
        say(f"  set -a; . {default_var()}/stack.env; set +a")
    say(f"  .venv/bin/stillframe snapshot create {guest.name} --wait")
    say(f"  .venv/bin/stillframe snapshot revert {guest.name}/wednesday --wait")
    say(f"  .venv/bin/stillframe event list --vm {guest.name} --follow")
    say("\n`make down` stops everything.")


if __name__ == "__main__":
    sys.exit(main())
