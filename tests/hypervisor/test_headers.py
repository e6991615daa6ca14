"""Headers read by ourselves say what qemu-img says."""

import json
import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from hypervisor import headers
from hypervisor.port import Source
from hypervisor.qemu_img import QemuImages
from stillframe.errors import HypervisorFailed

MIB = 1 << 20


def qemu_img(*words: str) -> str:
    return subprocess.run(["qemu-img", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An old-style qcow2 image with two internal snapshots."""
    path = tmp_path / "base.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "compat=0.10", str(path), "8M")
    qemu_img("snapshot", "-c", "one", str(path))
    qemu_img("snapshot", "-c", "두 번째", str(path))
    return path


@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_same_as_qemu_img(tmp_path: Path, base: Path, compat: str) -> None:
    """Sizes, backing image, its format and internal snapshots are those qemu-img reports, relative names resolved."""
    top = tmp_path / "top.qcow2"
    backing = ("-F", "qcow2", "-b", "base.qcow2")
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"compat={compat}", *backing, str(top), "16M")
    said = json.loads(qemu_img("info", "--output=json", "--backing-chain", str(top)))
    found = headers.chain(str(top), "qcow2")
    assert (
        [image.virtual_bytes for image in found]
        == [image["virtual-size"] for image in said]
        == [16 * MIB, 8 * MIB]
    )
    assert [image.size_bytes for image in found] == [image["actual-size"] for image in said]
    assert (found[0].backing, found[0].backing_format) == (str(base), "qcow2")
    assert found[1].internal_snapshots == ("one", "두 번째")
    assert [one.id for one in found[1].internal] == [one["id"] for one in said[1]["snapshots"]] == ["1", "2"]
    assert found[1].backing is None


def test_declared_raw_is_never_probed(tmp_path: Path, base: Path) -> None:
    """A guest that writes a qcow2 header into its raw disk changes nothing of what is seen of it."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(base.read_bytes())
    seen = headers.facts(str(disk), "raw")
    assert (seen.format, seen.backing) == ("raw", None)
    assert 0 <= seen.virtual_bytes - disk.stat().st_size < 512
    layer = str(tmp_path / "layer.qcow2")
    QemuImages().create_layer(layer, Source(str(disk), "raw"), MIB)
    assert [image.format for image in headers.chain(layer)] == ["qcow2", "raw"]


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    """A text declared as qcow2, a folder, a missing file and an unknown format each have an error that names them."""
    text = tmp_path / "text"
    text.write_text("hello")
    for path, declared in [(text, "qcow2"), (tmp_path, None), (tmp_path / "none", None), (text, "vmdk")]:
        with pytest.raises(HypervisorFailed, match=str(path)):
            headers.facts(str(path), declared)


def test_circle_is_no_chain(tmp_path: Path) -> None:
    """A chain that goes round in a circle is refused instead of being followed for ever."""
    one, two = str(tmp_path / "one.qcow2"), str(tmp_path / "two.qcow2")
    for path, backing in ((one, two), (two, one)):
        qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, "-u", path, "1M")
    with pytest.raises(HypervisorFailed, match="more than"):
        headers.chain(one)


def test_nothing_is_told_of_nothing(tmp_path: Path) -> None:
    """Of an image that cannot be seen from here nothing is told."""
    assert headers.look("pool/image", "raw") is None
    assert headers.look(str(tmp_path / "none"), "qcow2") is None


def hostile(
    version: int = 3, name_at: int = 0, name: bytes = b"", table_at: int = 0, snapshots: int = 0
) -> bytes:
    fixed = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb",
        version,
        name_at,
        len(name),
        16,
        MIB,
        0,
        0,
        0,
        0,
        0,
        snapshots,
        table_at,
    )
    return fixed + name


HOSTILE = {
    "cut short": hostile(name_at=200, name=b"base"),
    "name is no text": hostile(2, 72, b"\xff\xfe\xfd\xfc"),
    "name has a NUL": hostile(2, 72, b"a\0bc"),
    "name far away": hostile(2, 1 << 63, b"base"),
    "extensions cut short": hostile(3, 1000, b"x" * 1000),
    "snapshots past the end": hostile(2, snapshots=3, table_at=1 << 40),
    "snapshots nowhere": hostile(2, snapshots=3, table_at=(1 << 64) - 1),
    "unknown version": hostile(9),
    "huge": hostile().replace(struct.pack(">Q", MIB), b"\xff" * 8),
}


@pytest.mark.parametrize("head", HOSTILE.values(), ids=HOSTILE.keys())
def test_header_that_lies_is_a_failure_that_names_the_file(tmp_path: Path, head: bytes) -> None:
    """Whatever a header says that cannot be, it ends in one error with the path, and nothing is told of the image."""
    path = tmp_path / "x.qcow2"
    path.write_bytes(head)
    with pytest.raises(HypervisorFailed, match=str(path)) as failed:
        headers.chain(str(path), "qcow2")
    assert failed.value.context["path"] == str(path)
    assert headers.look(str(path), "qcow2") is None


def test_pipe_and_socket_are_refused_at_once(tmp_path: Path) -> None:
    """What is neither a file nor a block device is not opened, whether it is an image or lies below one."""
    pipe, door, top = tmp_path / "pipe", tmp_path / "socket", tmp_path / "top.qcow2"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(door))
        for below in (pipe, door, Path("/dev/zero")):
            qemu_img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(below), "-u", str(top), "1M")
            for path, declared in ((below, None), (below, "raw"), (below, "qcow2"), (top, "qcow2")):
                with pytest.raises(HypervisorFailed, match=f"{below}.* neither a file nor a block device"):
                    headers.chain(str(path), declared)


def test_last_sector_of_an_odd_raw_image_is_seen_through_a_layer(tmp_path: Path) -> None:
    """A raw image whose length is no multiple of 512 is as large as QEMU says, and its layer shows it to the last byte."""
    own, layer = tmp_path / "odd.raw", str(tmp_path / "layer.qcow2")
    own.write_bytes(b"x" * MIB + b"tail")
    seen = headers.facts(str(own), "raw")
    assert (
        seen.virtual_bytes
        == json.loads(qemu_img("info", "--output=json", "-f", "raw", str(own)))["virtual-size"]
    )
    QemuImages().create_layer(layer, Source(str(own), "raw"), seen.virtual_bytes)
    copy = tmp_path / "copy.raw"
    qemu_img("convert", "-f", "qcow2", "-O", "raw", layer, str(copy))
    assert copy.read_bytes() == own.read_bytes() + bytes(512 - 4)


def test_encrypted_image_says_so(tmp_path: Path) -> None:
    """An image whose header names a method of encryption is told as encrypted, however it is declared."""
    path = str(tmp_path / "secret.qcow2")
    secret = ("--object", "secret,id=s0,data=geheim", "-o", "encrypt.format=aes,encrypt.key-secret=s0")
    qemu_img("create", "-q", *secret, "-f", "qcow2", path, "1M")
    assert headers.facts(path, "qcow2").encrypted
    plain = str(tmp_path / "plain.qcow2")
    qemu_img("create", "-q", "-f", "qcow2", plain, "1M")
    assert not headers.facts(plain).encrypted


def test_what_is_no_text_in_a_table_of_snapshots_is_shown_as_such(tmp_path: Path, base: Path) -> None:
    """Whoever made the image has written a NUL into a name: it comes out as a sign that can be kept and shown."""
    image = tmp_path / "made.qcow2"
    image.write_bytes(base.read_bytes().replace(b"one", b"o\0e"))
    assert headers.facts(str(image), "qcow2").internal_snapshots[0] == "o\N{REPLACEMENT CHARACTER}e"


def test_ram_that_no_image_holds_is_told_as_a_number_that_can_be_kept(base: Path) -> None:
    """Whoever made the image has written that 2^64 - 1 bytes of RAM are in it."""
    subprocess.run(["qemu-img", "amend", "-q", "-f", "qcow2", "-o", "compat=1.1", str(base)], check=True)
    said = bytearray(base.read_bytes())
    name = said.index(b"1one")
    said[name - 24 : name - 16] = b"\xff" * 8
    base.write_bytes(said)
    assert headers.facts(str(base), "qcow2").internal[0].memory_bytes == 1 << 62
