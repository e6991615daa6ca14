"""Definitions keep all that is not asked to change."""

import xml.etree.ElementTree as ET

import pytest

from hypervisor import xml
from hypervisor.port import Source, VolumeFacts

DEFINITION = """\
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name>
  <memory unit='MiB'>512</memory>
  <metadata>
    <app:thing xmlns:app="urn:app">kept</app:thing>
  </metadata>
  <os><type>hvm</type><nvram template='/t.fd'>/nvram/web.fd</nvram></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
      <source file='/images/a&amp;b.qcow2' index='3'><seclabel model='dac' relabel='no'/></source>
      <backingStore type='file'><format type='raw'/><source file='/images/base'/><backingStore/></backingStore>
      <mirror type='file' ready='yes'><source file='/images/copy'/></mirror>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw'/>
      <source dev='/dev/vg/data'/>
      <target dev='vdb' bus='virtio'/>
      <shareable/>
    </disk>
    <disk type='file' device='cdrom'>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw'/>
      <source protocol='rbd' name='pool/image'/>
      <target dev='vdc' bus='virtio'/>
    </disk>
  </devices>
  <qemu:commandline><qemu:arg value='-foo'/></qemu:commandline>
</domain>"""


def test_volumes_are_read_as_they_are() -> None:
    """Kind of storage, image, format and device are told for each disk, an empty CD drive included."""
    assert xml.volumes_of(DEFINITION) == (
        VolumeFacts("vda", "file", "/images/a&b.qcow2", "qcow2"),
        VolumeFacts("vdb", "block", "/dev/vg/data", "raw", shared=True),
        VolumeFacts("sda", "file", "", "raw", device="cdrom", read_only=True),
        VolumeFacts("vdc", "network", "pool/image", "raw"),
    )


def test_small_facts_are_found() -> None:
    """Name, memory, NVRAM, the chain and the mark of a ready merge are read."""
    assert xml.name_of(DEFINITION) == "web"
    assert xml.memory_bytes_of(DEFINITION) == 512 << 20
    assert xml.nvram_of(DEFINITION) == "/nvram/web.fd"
    assert xml.chain_of(DEFINITION, "vda") == ("/images/a&b.qcow2", "/images/base")
    assert xml.chain_of(DEFINITION, "sda") == ()
    assert xml.mirror_of(DEFINITION, "vda") == ("/images/copy", True)
    assert xml.mirror_of(DEFINITION, "vdb") is None
    assert xml.images_of(DEFINITION) == ("/images/a&b.qcow2", "/images/base", "/images/copy", "/dev/vg/data")
    assert xml.nvram_of("<domain><os/></domain>") is None


def test_new_sources_change_nothing_else() -> None:
    """Of a disk only source, type and format change; what describes a moment goes; the rest is kept as it was."""
    odd = "/images/<&'\">.qcow2"
    swapped = xml.with_sources(
        DEFINITION, {"vda": Source(odd, "raw"), "vdb": Source("/l/vdb.qcow2", "qcow2")}
    )
    vda, vdb, *_ = ET.fromstring(swapped).iterfind("devices/disk")
    driver, source = vda.find("driver"), vda.find("source")
    assert driver is not None
    assert driver.attrib == {"name": "qemu", "type": "raw", "cache": "none", "discard": "unmap"}
    assert source is not None
    assert source.attrib == {"file": odd}
    assert source.find("seclabel") is not None
    assert vda.find("backingStore") is None
    assert vda.find("mirror") is None
    source = vdb.find("source")
    assert vdb.get("type") == "file"
    assert source is not None
    assert source.attrib == {"file": "/l/vdb.qcow2"}
    assert xml.volumes_of(swapped)[2:] == xml.volumes_of(DEFINITION)[2:]
    assert "<app:thing>kept</app:thing>" in swapped
    assert ET.fromstring(swapped).findtext("metadata/{urn:app}thing") == "kept"
    assert '<qemu:arg value="-foo" />' in swapped
    assert xml.name_of(swapped) == "web"


def test_new_image_inherits_nothing_that_described_the_old() -> None:
    """Keys, slices and ways to reach an image go with it, and stay when the image stays."""
    described = (
        "<domain><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
        "<source file='/i/own.qcow2'><seclabel model='dac' relabel='no'/>"
        "<encryption format='luks'><secret type='passphrase' uuid='u'/></encryption>"
        "<slices><slice type='storage' offset='1' size='2'/></slices><reservations managed='yes'/></source>"
        "<target dev='vda' bus='virtio'/><encryption format='qcow'/></disk></devices></domain>"
    )
    kept = ET.fromstring(xml.with_sources(described, {"vda": Source("/i/own.qcow2", "qcow2")}))
    assert [element.tag for element in kept.iterfind("devices/disk/source/*")] == [
        "seclabel", "encryption", "slices", "reservations",
    ]  # fmt: skip
    assert xml.volumes_of(described)[0].encrypted
    after = xml.with_sources(described, {"vda": Source("/i/layer.qcow2", "qcow2")})
    swapped = ET.fromstring(after)
    assert [element.tag for element in swapped.iterfind("devices/disk/source/*")] == ["seclabel"]
    assert swapped.find("devices/disk/encryption") is None
    assert not xml.volumes_of(after)[0].encrypted


def test_block_device_comes_back_as_one() -> None:
    """A volume that goes back from a layer to its device is a block disk again."""
    there = xml.with_sources(DEFINITION, {"vdb": Source("/l/vdb.qcow2", "qcow2")})
    back = xml.with_sources(there, {"vdb": Source("/dev/vg/data", "raw")})
    assert xml.volumes_of(back)[1] == xml.volumes_of(DEFINITION)[1]


def test_name_can_be_kept() -> None:
    """A definition can be put under another name."""
    assert xml.name_of(xml.with_sources(DEFINITION, {}, name="db & co")) == "db & co"


@pytest.mark.parametrize("text", ["", "plain", '{"a": "<&\\"\'>]]>"}', "한글"])
def test_note_is_read_back(text: str) -> None:
    """A note of any text is read as it was written, replaces the one before and leaves others' elements alone."""
    noted = xml.with_note(xml.with_note(DEFINITION, "before"), text)
    assert xml.note_of(noted) == text
    assert noted.count("before") == 0
    assert "kept" in noted
    assert xml.note_of(DEFINITION) is None
    assert ET.fromstring(xml.note_element(text)).text == (text or None)


def test_snapshot_request_names_every_disk() -> None:
    """Volumes with a layer are cut, every other disk is left alone by name, and RAM goes where it is told."""
    request = xml.snapshot_request(DEFINITION, {"vda": Source("/l/<a>.qcow2", "qcow2")}, "/m/<memory>")
    root = ET.fromstring(request)
    memory, disks = root.find("memory"), root.findall("disks/disk")
    assert memory is not None
    assert memory.attrib == {"snapshot": "external", "file": "/m/<memory>"}
    assert [(disk.get("name"), disk.get("snapshot")) for disk in disks] == [
        ("vda", "external"),
        ("vdb", "no"),
        ("sda", "no"),
        ("vdc", "no"),
    ]
    assert [source.attrib for source in root.iter("source")] == [{"file": "/l/<a>.qcow2"}]
