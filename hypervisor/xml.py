"""Reading and changing a VM's definition: which images its volumes have, and nothing else. Pure.

Everything that is not asked for stays as it is, elements of other programs in <metadata> included. Left out
on purpose: <backingStore> and <mirror>, which describe a moment and would be wrong on other images.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from xml.sax.saxutils import unescape

from hypervisor.port import Source, VolumeFacts

NOTE_URI = "urn:stillframe:note:1"
#: Of an element that no VM has.
TURN_URI = "urn:stillframe:turn:1"
NOTE_PREFIX = "stillframe"
#: The attributes by which a <source> says where its image is, and what libvirt adds to it while the VM runs.
_WHERE = ("file", "dev", "dir", "name", "protocol", "pool", "volume", "mode", "index", "startupPolicy")


# One look at a VM asks the same definition about many things.
_remembered = lru_cache(maxsize=32)


@_remembered
def _read(definition: str) -> ET.Element:
    """The definition as a tree that is to be looked at only."""
    return parse(definition)


def name_of(definition: str) -> str:
    """The VM's name."""
    return _read(definition).findtext("name", "")


@_remembered
def volumes_of(definition: str) -> tuple[VolumeFacts, ...]:
    """The VM's disks in the order of its definition; their sizes are not in it."""
    return tuple(_volume(disk) for _, disk in _disks(_read(definition)))


def nvram_of(definition: str) -> str | None:
    """The path of the UEFI variable store."""
    root = _read(definition)
    nvram = root.find("os/nvram")
    if nvram is None:
        return None
    source = nvram.find("source")
    return (source.get("file") if source is not None else (nvram.text or "").strip()) or None


def memory_bytes_of(definition: str) -> int:
    """The VM's RAM in bytes."""
    memory = _read(definition).find("memory")
    if memory is None or not memory.text:
        return 0
    return int(memory.text) * _UNITS[memory.get("unit", "KiB")]


def note_of(definition: str) -> str | None:
    """The text Stillframe keeps in <metadata>."""
    found = _read(definition).find(f"metadata/{{{NOTE_URI}}}note")
    return None if found is None else found.text or ""


def with_note(definition: str, text: str) -> str:
    """The definition with a text kept in <metadata>."""
    root = parse(definition)
    metadata = root.find("metadata")
    if metadata is None:
        metadata = ET.SubElement(root, "metadata")
    for old in metadata.findall(f"{{{NOTE_URI}}}note"):
        metadata.remove(old)
    ET.SubElement(metadata, f"{{{NOTE_URI}}}note").text = text
    return to_text(root)


def note_element(text: str) -> str:
    """The element that holds a note, as libvirt wants to be given it."""
    note = ET.Element("note")
    note.text = text
    return to_text(note)


def chain_of(definition: str, target: str) -> tuple[str, ...]:
    """The paths of a volume's chain as the live definition of a running VM lists them, head first."""
    paths: list[str] = []
    image = dict(_disks(_read(definition))).get(target)
    while image is not None and (path := _path(image.find("source"))):
        paths.append(path)
        image = image.find("backingStore")
    return tuple(paths)


@_remembered
def images_of(definition: str) -> tuple[str, ...]:
    """The paths of all images of all disks, with what the definition says of the chains below and of mirrors."""
    sources = (
        source
        for _, disk in _disks(_read(definition))
        for source in (*disk.iter("source"), *disk.iter("mirror"))
    )
    return tuple(dict.fromkeys(path for path in map(_path, sources) if path.startswith("/")))


def with_pool_paths(definition: str, path_of: Callable[[str, str], str | None]) -> str:
    """The definition with each volume of a storage pool as the file or device that `path_of(pool, volume)` says it is."""
    if "volume=" not in definition:
        return definition
    root = parse(definition)
    for _, disk in _disks(root):
        for image in disk.iter():
            source = image.find("source")
            if source is None or source.get("volume") is None:
                continue
            path = path_of(source.get("pool", ""), source.get("volume", ""))
            if path is not None and path.startswith("/"):
                image.set("type", _type(path))
                _point(source, path)
    return to_text(root)


def mirror_of(definition: str, target: str) -> tuple[str, bool] | None:
    """Where a block job of the live definition mirrors a volume to, and whether it only waits for its pivot."""
    disk = dict(_disks(_read(definition))).get(target)
    mirror = None if disk is None else disk.find("mirror")
    if mirror is None:
        return None
    source = mirror.find("source")
    return _path(mirror if source is None else source), mirror.get("ready") == "yes"


def with_sources(definition: str, sources: Mapping[str, Source], name: str | None = None) -> str:
    """The definition on other images, and under another name if one is given."""
    root = parse(definition)
    for target, disk in _disks(root):
        for element in ("backingStore", "mirror"):
            for momentary in disk.findall(element):
                disk.remove(momentary)
        if target in sources:
            _put(disk, sources[target])
    if name is not None:
        called = root.find("name")
        if called is None:
            called = ET.SubElement(root, "name")
        called.text = name
    return to_text(root)


def snapshot_request(definition: str, layers: Mapping[str, Source], memory: str | None) -> str:
    """The <domainsnapshot> that puts `layers` on top and leaves every other disk alone."""
    root = ET.Element("domainsnapshot")
    if memory is not None:
        ET.SubElement(root, "memory", snapshot="external", file=memory)
    else:
        ET.SubElement(root, "memory", snapshot="no")
    disks = ET.SubElement(root, "disks")
    for target, _ in _disks(_read(definition)):
        layer = layers.get(target)
        if layer is None:
            ET.SubElement(disks, "disk", name=target, snapshot="no")
            continue
        disk = ET.SubElement(disks, "disk", name=target, snapshot="external", type=_type(layer.path))
        ET.SubElement(disk, "driver", type=layer.format)
        ET.SubElement(disk, "source", {_attribute(layer.path): layer.path})
    return to_text(root)


_UNITS = {
    "b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "MB": 10**6, "M": 1 << 20, "MiB": 1 << 20,
    "GB": 10**9, "G": 1 << 30, "GiB": 1 << 30, "TB": 10**12, "T": 1 << 40, "TiB": 1 << 40,
}  # fmt: skip


_NAMESPACE = re.compile(r"""\bxmlns:([A-Za-z_][\w.-]*)\s*=\s*(["'])(.*?)\2""", re.S)


def parse(definition: str) -> ET.Element:
    """What libvirt or Stillframe wrote, as a tree that may be changed. Raises xml.etree.ElementTree.ParseError."""
    # ElementTree invents prefixes (ns0) for namespaces it does not know: teach it those in use here.
    # Definitions come from libvirt and from our own folders; expat itself stops entities that explode.
    for prefix, _, uri in _NAMESPACE.findall(definition):
        if not prefix.startswith("ns"):
            ET.register_namespace(prefix, unescape(uri))
    return ET.fromstring(definition)  # noqa: S314


def to_text(root: ET.Element) -> str:
    """For libvirt."""
    return ET.tostring(root, encoding="unicode")


def _disks(root: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    for disk in root.iterfind("devices/disk"):
        target = disk.find("target")
        if target is not None:
            yield target.get("dev", ""), disk


def _volume(disk: ET.Element) -> VolumeFacts:
    target, driver = disk.find("target"), disk.find("driver")
    storage = disk.get("type", "file")
    return VolumeFacts(
        target="" if target is None else target.get("dev", ""),
        storage=storage if storage in ("file", "block", "network", "volume") else "other",
        path=_path(disk.find("source")),
        format="raw" if driver is None else driver.get("type", "raw"),
        device=disk.get("device", "disk"),
        read_only=disk.find("readonly") is not None,
        shared=disk.find("shareable") is not None,
        encrypted=next(disk.iter("encryption"), None) is not None,
    )


def _path(source: ET.Element | None) -> str:
    if source is None:
        return ""
    return source.get("file") or source.get("dev") or source.get("name") or ""


def _put(disk: ET.Element, image: Source) -> None:
    disk.set("type", _type(image.path))
    driver = disk.find("driver")
    if driver is None:
        driver = ET.Element("driver", name="qemu")
        disk.insert(0, driver)
    driver.set("type", image.format)
    source = disk.find("source")
    if source is None:
        source = ET.Element("source")
        disk.insert(1, source)
    if _path(source) != image.path:
        _forget(disk, source)
    _point(source, image.path)


def _point(source: ET.Element, path: str) -> None:
    for attribute in _WHERE:
        source.attrib.pop(attribute, None)
    source.set(_attribute(path), path)


def _forget(disk: ET.Element, source: ET.Element) -> None:
    """Drops what was true of the image that was there: its keys, the slice of it that is the disk, how it is reached."""
    for element in disk.findall("encryption"):
        disk.remove(element)
    for element in list(source):
        if element.tag != "seclabel":  # how whatever is there shall be labelled
            source.remove(element)


def _type(path: str) -> str:
    return "block" if path.startswith("/dev/") else "file"


def _attribute(path: str) -> str:
    return "dev" if path.startswith("/dev/") else "file"
