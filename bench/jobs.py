"""Whole jobs, from the HTTP request to the terminal state, against the bare call that does the work.

Ours and the baseline take turns on the same guest and the same data, in one run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from bench.record import Figure, compare, keep
from lab.guest import Guest
from lab.lab import default_var
from lab.stack import Stack
from stillframe.client import Producer
from stillframe.client.answers import Job

HOT_RUNS = 25
MEMORY_RUNS = 5
EXTRACT_RUNS = 5
MIB = 1 << 20


def run() -> None:
    """Measures all, on a stack of its own under var/bench."""
    stack = Stack(default_var() / "bench", host="bench")
    try:
        addresses = stack.up(("api", "watchdog", "worker", "control", "beat"))
        with Producer(addresses["URL"], addresses["KEY"], timeout_s=120) as client:
            figures = [
                _hot(stack, client, "hot_create_overhead", quiesce=True),
                _hot(stack, client, "hot_create_overhead_unquiesced", quiesce=False),
                _memory(stack, client, "memory_create_wall", memory_mib=2048, ballast_mib=1536),
                _memory(stack, client, "memory_create_wall_512_mib", memory_mib=768, ballast_mib=512),
                *_extract(stack, client),
            ]
    finally:
        stack.down()
    keep("jobs", figures)


def _hot(stack: Stack, client: Producer, name: str, *, quiesce: bool) -> Figure:
    """As people take them, the guest's filesystems frozen for the cut; and without, where the call itself is cheapest."""
    guest = _guest(stack, client, "hot")
    guest.wait_agent()
    ours, direct = [], []
    wish = "require" if quiesce else "never"
    for number in range(HOT_RUNS + 1):
        took, job = _timed(client, lambda: client.create_snapshot(guest.name, type="hot", quiesce=wish))
        _delete(client, job)
        bare = _bare_cut(guest, quiesce=quiesce)
        if number:  # the first of each warms connections and caches
            ours.append(took)
            direct.append(bare)
    guest.remove()
    # What the whole system adds on top of the call itself.
    added = [max(took - statistics.median(direct), 0.0) for took in ours]
    call = f"snapshotCreateXML{', QUIESCE,' if quiesce else ''} by libvirt-python on a cached connection"
    return compare(name, added, direct, baseline_name=call, goal=1.0)


def _memory(stack: Stack, client: Producer, name: str, **size: int) -> Figure:
    """Ours ends with the file on the disk, the bare call with it in the page cache."""
    guest = _guest(stack, client, "memory", **size)
    ours, direct = [], []
    for number in range(MEMORY_RUNS + 1):
        took, job = _timed(client, lambda: client.create_snapshot(guest.name, type="memory"))
        _delete(client, job)
        bare = _bare_cut(guest, memory=str(guest.folder / "bare.save"))
        if number:
            ours.append(took)
            direct.append(bare)
    guest.remove()
    call = "snapshotCreateXML, external memory, LIVE, by libvirt-python"
    return compare(name, ours, direct, baseline_name=call, goal=1.05)


def _extract(stack: Stack, client: Producer) -> list[Figure]:
    guest = _guest(stack, client, "extract", disks=("raw",), disk_mib=3072, fill_mib=2048)
    _, job = _timed(client, lambda: client.create_snapshot(guest.name, type="hot", quiesce="never"))
    snapshot = client.snapshot(str(job["snapshot_id"]))
    layer = snapshot["volumes"][0]["layer"]
    ours: list[float] = []
    convert: list[float] = []
    copy: list[float] = []
    for number in range(EXTRACT_RUNS + 1):
        _forget_cache(layer)
        took, job = _timed(client, lambda: client.extract_volume(snapshot["id"], "vda"))
        image = str(client.volume(str(job["volume_snapshot_id"]))["path"])
        _forget_cache(layer)
        by_default = _convert(layer, guest.folder / "bare.qcow2")
        _forget_cache(image)
        by_dd = _dd(image, guest.folder / "bare.copy")
        os.unlink(image)
        if number:
            ours.append(took)
            convert.append(by_default)
            copy.append(by_dd)
    guest.remove()
    return [
        compare(
            "extract_vs_convert_default",
            ours,
            convert,
            baseline_name="qemu-img convert -O qcow2 with defaults, and fsync",
            goal=0.6,
        ),
        compare(
            "extract_vs_direct_dd",
            ours,
            copy,
            baseline_name="dd bs=4M, O_DIRECT, of the same bytes",
            goal=1.3,
        ),
    ]


def _guest(stack: Stack, client: Producer, name: str, fill_mib: int = 0, **wanted: Any) -> Guest:
    with suppress(Exception):
        stack.lab.guest(name).remove()
    guest = stack.lab.create_guest(name, start=False, **wanted)
    if fill_mib:
        _fill(guest, fill_mib)
    guest.start()
    guest.wait_tick(timeout_s=120)
    deadline = time.monotonic() + 20
    while not any(vm["name"] == name and vm["state"] == "running" for vm in client.vms(q=name)["items"]):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} was not registered")
        time.sleep(0.05)
    return guest


def _fill(guest: Guest, mib: int) -> None:
    """Puts random data onto the guest's raw disk, from outside."""
    data = guest.folder / "fill"
    with data.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
    disk = str(guest.disks["vda"])
    subprocess.run(["debugfs", "-w", "-R", f"write {data} fill", disk], check=True, capture_output=True)
    data.unlink()


def _timed(client: Producer, ask: Any) -> tuple[float, Job]:
    """Seconds from the request to its job's terminal state. What was written before is on the disk by then, not on its way."""
    os.sync()
    began = time.perf_counter()
    job = client.job(ask()["id"], wait_s=60)
    took = time.perf_counter() - began
    if job["state"] != "succeeded":
        raise RuntimeError(f"{job['kind']}: {job['state']}, {job['error']}")
    return took, job


def _delete(client: Producer, job: Job) -> None:
    _timed(client, lambda: client.delete_snapshot(str(job["snapshot_id"])))


def _bare_cut(guest: Guest, *, memory: str | None = None, quiesce: bool = False) -> float:
    """Seconds of the bare libvirt call; what it made is merged back afterwards, untimed."""
    import libvirt

    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    saved = "<memory snapshot='no'/>"
    if memory:
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_LIVE
        saved = f"<memory snapshot='external' file={quoteattr(memory)}/>"
    else:
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE if quiesce else 0
    domain = guest.domain
    source = ElementTree.fromstring(domain.XMLDesc(0)).find(".//disk/source")
    assert source is not None
    base = source.get("file", "")
    overlay = f"{base}.bare"
    disk = f"<disk name='vda' snapshot='external'><driver type='qcow2'/><source file={quoteattr(overlay)}/></disk>"
    xml = f"<domainsnapshot>{saved}<disks>{disk}</disks></domainsnapshot>"
    os.sync()
    began = time.perf_counter()
    domain.snapshotCreateXML(xml, flags)
    took = time.perf_counter() - began
    _merge_back(domain, base, overlay)
    for path in (overlay, memory):
        if path:
            os.unlink(path)
    return took


def _merge_back(domain: Any, base: str, overlay: str) -> None:
    import libvirt

    domain.blockCommit("vda", base, overlay, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
    deadline = time.monotonic() + 60
    while True:
        try:
            domain.blockJobAbort("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
            return
        except libvirt.libvirtError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _convert(layer: str, target: Path) -> float:
    began = time.perf_counter()
    form = "raw" if layer.endswith(".raw") else "qcow2"
    subprocess.run(["qemu-img", "convert", "-f", form, "-O", "qcow2", layer, str(target)], check=True)
    with target.open("rb+") as file:
        os.fsync(file.fileno())
    took = time.perf_counter() - began
    target.unlink()
    return took


def _dd(source: str, target: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        ["dd", f"if={source}", f"of={target}", "bs=4M", "iflag=direct", "oflag=direct", "status=none"],
        check=True,
    )
    took = time.perf_counter() - began
    target.unlink()
    return took


def _forget_cache(path: str) -> None:
    """Out of the page cache, so that every run reads from the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fdatasync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
