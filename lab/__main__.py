"""The lab from the command line: `python -m lab build|up|down|status|guest`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from lab.build import build, default_cache
from lab.errors import LabError
from lab.lab import PARTS, Lab, default_var


def main() -> int:
    """Do one command and say in plain sentences what was done; 1 when it could not be."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument("--var", type=Path, default=default_var(), help="the lab's folder")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the guest once, out of Debian's packages")
    up = commands.add_parser("up", help="start the lab, or the named parts of it")
    up.add_argument("parts", nargs="*", help=" ".join(PARTS))
    down = commands.add_parser("down", help="stop everything the lab started")
    down.add_argument("--remove", action="store_true", help="delete all it kept, too")
    commands.add_parser("status", help="say what is up; ends 1 when nothing is")
    guest = commands.add_parser(
        "guest", help="make a guest, or boot one that is off, and wait for its first tick"
    )
    guest.add_argument("name")
    guest.add_argument("--disks", type=int, default=1, help="how many disks (1)")
    guest.add_argument("--format", choices=("qcow2", "raw"), default="qcow2")
    guest.add_argument("--memory-mib", type=int, default=None)
    guest.add_argument("--uefi", action="store_true", help="boot under OVMF, with NVRAM")
    guest.add_argument("--remove", action="store_true", help="remove it instead")
    wanted = parser.parse_args()
    try:
        return _COMMANDS[wanted.command](wanted)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _build(_: argparse.Namespace) -> int:
    image, was_built = build()
    did = "Built the guest" if was_built else "The guest is built already"
    print(f"{did}: {image.kernel.parent} (cache {default_cache()}).")
    return 0


def _up(wanted: argparse.Namespace) -> int:
    began = time.monotonic()
    lab = Lab(wanted.var)
    lab.start(wanted.parts or PARTS)
    print(f"The lab in {lab.places.var} is up after {time.monotonic() - began:.1f} s.")
    return _status(wanted)


def _down(wanted: argparse.Namespace) -> int:
    lab = Lab(wanted.var)
    lab.stop()
    print(f"The lab in {lab.places.var} is down; nothing of it runs.")
    if wanted.remove:
        lab.remove()
        print("All it kept is deleted.")
    return 0


def _status(wanted: argparse.Namespace) -> int:
    lab = Lab(wanted.var)
    pids = lab.status()
    for part, pid in pids.items():
        print(f"{part} is up (pid {pid}): {_address(lab, part)}" if pid else f"{part} is down.")
    if pids["libvirt"]:
        for guest in lab.guests():
            print(
                f"Guest {guest.name} {'runs' if guest.is_active else 'is off'}, {len(guest.ticks())} ticks."
            )
    return 0 if any(pids.values()) else 1


def _address(lab: Lab, part: str) -> str:
    if part == "postgres":
        return lab.database_url()
    return lab.broker_url if part == "redis" else lab.libvirt_uri


def _guest(wanted: argparse.Namespace) -> int:
    lab = Lab(wanted.var)
    if not lab.status()["libvirt"]:
        raise LabError(f"the libvirtd of {lab.places.var} is down; `make up` or `python -m lab up` starts it")
    if wanted.remove:
        lab.guest(wanted.name).remove()
        print(f"Removed guest {wanted.name}.")
        return 0
    began = time.monotonic()
    if any(guest.name == wanted.name for guest in lab.guests()):
        guest = lab.guest(wanted.name)
        if guest.is_active:
            print(f"Guest {guest.name} ({guest.uuid}) runs already.")
            return 0
        print(f"Guest {guest.name} is there and off: starting it as it is.")
        guest.start()
    else:
        guest = lab.create_guest(
            wanted.name, [wanted.format] * wanted.disks, memory_mib=wanted.memory_mib, uefi=wanted.uefi
        )
    tick = guest.wait_tick(timeout_s=120)
    print(f"Guest {guest.name} ({guest.uuid}) ticks after {time.monotonic() - began:.1f} s: {tick.counter}.")
    print(f"Its serial log is {guest.serial.path}.")
    return 0


_COMMANDS = {"build": _build, "up": _up, "down": _down, "status": _status, "guest": _guest}

if __name__ == "__main__":
    sys.exit(main())
