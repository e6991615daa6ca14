"""What must be so on a host when no job is under way, told by looking at files, image headers, libvirt and rows."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from lab.guest import Guest
from stillframe.errors import HypervisorFailed
from stillframe.states import ENDED, OVER
from tests.journeys.site import Site
from tests.journeys.witness import Witness

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
}
#: What libvirt and the rows may call a VM that does not run.
_OFF = {"off", "crashed"}
#: Seconds for which what was just ended may still be seen.
SOON_S = 15.0


def untidy(witness: Witness, running: bool | None = None) -> list[str]:
    """All that is wrong with a VM on its host and in the rows; empty once all is as it must be.

    What passes by itself within some seconds is not wrong: the rows follow the host in a moment.
    """
    end = time.monotonic() + SOON_S
    while faults := _look(witness, running):
        if time.monotonic() > end:
            return faults
        time.sleep(0.25)
    return []


def _look(witness: Witness, running: bool | None) -> list[str]:
    site, guest = witness.site, witness.guest
    faults = _unfinished(site, guest)
    if running is not None and guest.is_active != running:
        faults.append(f"the VM is {_state(guest)}")
    faults += [*_files(witness), *_definitions(guest), *_layers(site, guest), *_busy(site, guest)]
    seen = site.seen(guest)["state"]
    if seen != _state(guest) and not {seen, _state(guest)} <= _OFF:
        faults.append(f"the rows say {seen}, libvirt says {_state(guest)}")
    if _state(guest) == "paused":
        faults.append(f"the VM is paused: {guest.domain.state()}")
    return faults


def _state(guest: Guest) -> str:
    return _STATES.get(guest.domain.state()[0], "?")


def _unfinished(site: Site, guest: Guest) -> list[str]:
    rows = site.sql("SELECT id, kind, state FROM job WHERE vm_id = CAST(:vm AS uuid)", vm=guest.uuid)
    over = {*ENDED, *OVER}
    left = [f"job {row.id} ({row.kind}) is {row.state}" for row in rows if row.state not in over]
    stuck = [f"job {row.id} ({row.kind}) is stuck" for row in rows if row.state == "stuck"]
    between = site.sql(
        "SELECT id, state FROM snapshot WHERE vm_id = CAST(:vm AS uuid)"
        " AND state IN ('creating', 'reverting', 'deleting')",
        vm=guest.uuid,
    )
    return [*left, *stuck, *(f"snapshot {row.id} is {row.state}" for row in between)]


def _files(witness: Witness) -> list[str]:
    try:
        witness.is_tidy()
    except (AssertionError, ValueError, HypervisorFailed) as error:
        return [f"files: {error}"]
    return []


def _busy(site: Site, guest: Guest) -> list[str]:
    if not guest.is_active:
        return []
    return [f"a block job runs on {target}" for target in guest.disks if guest.domain.blockJobInfo(target, 0)]


def _definitions(guest: Guest) -> list[str]:
    """The persistent definition names the heads, and no chain below them that could be believed later."""
    document = ElementTree.fromstring(guest.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    named = {
        disk.find("target").attrib["dev"]: disk.find("source").attrib["file"]  # type: ignore[union-attr]
        for disk in document.iterfind("devices/disk")
    }
    live = {target: str(path) for target, path in guest.disks.items()}
    return [] if named == live else [f"it runs on {live}, and is defined on {named}"]


def _layers(site: Site, guest: Guest) -> list[str]:
    """The rows' layers are the images that lie there, each on what its own header says."""
    rows = site.sql("SELECT path, backing, is_head FROM layer WHERE vm_id = CAST(:vm AS uuid)", vm=guest.uuid)
    faults = []
    heads = {str(path) for path in guest.disks.values()}
    if (marked := {row.path for row in rows if row.is_head}) != heads:
        faults.append(f"rows call {marked} heads, the VM writes to {heads}")
    for row in rows:
        if not Path(row.path).exists():
            faults.append(f"a row names {row.path}, which is not there")
        elif (backing := backing_of(row.path)) != row.backing:
            faults.append(f"{row.path} stands on {backing}, its row says {row.backing}")
    known = {row.path for row in rows}
    faults += [f"no row names {head}" for head in heads - known]
    faults += [f"no row names {row.backing}" for row in rows if row.backing and row.backing not in known]
    return faults


def backing_of(path: str) -> str | None:
    """What an image stands on, as its header says."""
    form = "raw" if path.endswith(".raw") else "qcow2"
    said = subprocess.run(
        ["qemu-img", "info", "-U", "--output=json", "-f", form, path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found: dict[str, Any] = json.loads(said)
    return found.get("full-backing-filename") or found.get("backing-filename")


def serial_errors(guest: Guest, start: int = 0) -> list[str]:
    """What the guest complained of since that byte of its log: a write or a sync that failed."""
    lines = guest.serial.text(start).decode(errors="replace").splitlines()
    return [line for line in lines if line.startswith("error ")]


def told(act: Callable[[], object]) -> list[str]:
    """What an act that asserts has to complain of; nothing if it is content."""
    try:
        act()
    except AssertionError as error:
        return [f"{type(error).__name__}: {error}"]
    return []
