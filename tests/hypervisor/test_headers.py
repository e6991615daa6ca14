"""Headers read by ourselves say what qemu-img says."""

import json
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
    assert found[1].backing is None


def test_declared_raw_is_never_probed(tmp_path: Path, base: Path) -> None:
    """A guest that writes a qcow2 header into its raw disk changes nothing of what is seen of it."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(base.read_bytes())
    seen = headers.facts(str(disk), "raw")
    assert (seen.format, seen.virtual_bytes, seen.backing) == ("raw", disk.stat().st_size, None)
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


def test_encrypted_image_says_so(tmp_path: Path) -> None:
    """An image whose header names a method of encryption is told as encrypted, however it is declared."""
    path = str(tmp_path / "secret.qcow2")
    secret = ("--object", "secret,id=s0,data=geheim", "-o", "encrypt.format=luks,encrypt.key-secret=s0")
    qemu_img("create", "-q", *secret, "-f", "qcow2", path, "1M")
    assert headers.facts(path, "qcow2").encrypted
    plain = str(tmp_path / "plain.qcow2")
    qemu_img("create", "-q", "-f", "qcow2", plain, "1M")
    assert not headers.facts(plain).encrypted
