"""Snapshots that other tools made, out of libvirt's record of them and the images' own tables. Pure."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from hypervisor import xml
from hypervisor.port import ForeignSnapshot, ImageFacts, InternalSnapshot


def read(record: str, current: bool) -> ForeignSnapshot:
    """A snapshot as libvirt describes it. Raises ValueError or SyntaxError if that makes no sense."""
    root = ET.fromstring(record)  # noqa: S314  # it comes from libvirt
    memory = root.find("memory")
    kept = "no" if memory is None else memory.get("snapshot", "no")
    disks = {
        disk.get("name", ""): disk.get("snapshot", "no")
        for disk in root.iterfind("disks/disk")
        if disk.get("snapshot", "no") in ("internal", "external")
    }
    images = _images(root)
    state = root.findtext("state", "unknown")
    return ForeignSnapshot(
        name=root.findtext("name", ""),
        kind=_kind({*disks.values(), kept} - {"no"}, state),
        with_memory=kept != "no",
        state=state,
        created_at=int(root.findtext("creationTime", "0")),
        parent=root.findtext("parent/name"),
        current=current,
        volumes={target: images.get(target, "") for target in disks},
        description=root.findtext("description", ""),
    )


def with_tables(
    known: Iterable[ForeignSnapshot], heads: Mapping[str, ImageFacts]
) -> tuple[ForeignSnapshot, ...]:
    """The snapshots libvirt knows, and those that only the heads' own tables have; `heads` by target. By name."""
    tables: dict[str, dict[str, InternalSnapshot]] = {}
    for target, image in heads.items():
        for entry in image.internal:
            tables.setdefault(entry.name, {})[target] = entry
    found = {one.name: _with_memory(one, tables.get(one.name, {})) for one in known}
    for name, entries in tables.items():
        if name not in found:
            found[name] = _of_tables(name, entries, heads)
    return tuple(found[name] for name in sorted(found))


def record_for(snapshot: ForeignSnapshot, definition: str) -> str:
    """What libvirt has to be told of an internal snapshot that it does not know, so that it can delete it."""
    root = ET.Element("domainsnapshot")
    ET.SubElement(root, "name").text = snapshot.name
    ET.SubElement(root, "state").text = "running" if snapshot.with_memory else "shutoff"
    ET.SubElement(root, "creationTime").text = str(snapshot.created_at)
    ET.SubElement(root, "memory", snapshot="internal" if snapshot.with_memory else "no")
    disks = ET.SubElement(root, "disks")
    for volume in xml.volumes_of(definition):
        kind = "internal" if volume.target in snapshot.volumes else "no"
        ET.SubElement(disks, "disk", name=volume.target, snapshot=kind)
    root.append(ET.fromstring(definition))  # noqa: S314
    return ET.tostring(root, encoding="unicode")


def _images(root: ET.Element) -> dict[str, str]:
    """What each volume's image was: the disks of the definition that is in the record."""
    domain = root.find("domain")
    if domain is None:
        return {}
    return {one.target: one.path for one in xml.volumes_of(ET.tostring(domain, encoding="unicode"))}


def _kind(kinds: set[str], state: str) -> Literal["internal", "external", "mixed"]:
    if len(kinds) > 1:
        return "mixed"
    if kinds:
        return "internal" if kinds == {"internal"} else "external"
    return "external" if state == "disk-snapshot" else "internal"


def _with_memory(one: ForeignSnapshot, entries: Mapping[str, InternalSnapshot]) -> ForeignSnapshot:
    return replace(one, memory_bytes=max((entry.memory_bytes for entry in entries.values()), default=0))


def _of_tables(
    name: str, entries: Mapping[str, InternalSnapshot], heads: Mapping[str, ImageFacts]
) -> ForeignSnapshot:
    memory_bytes = max(entry.memory_bytes for entry in entries.values())
    return ForeignSnapshot(
        name=name,
        kind="internal",
        with_memory=memory_bytes > 0,
        state="unknown",
        created_at=min(entry.created_at for entry in entries.values()),
        volumes={target: heads[target].path for target in sorted(entries)},
        memory_bytes=memory_bytes,
        known_to_libvirt=False,
    )
