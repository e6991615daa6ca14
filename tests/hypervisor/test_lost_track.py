"""A merge that libvirt refuses: whether it has lost track of the disk, or an image is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import libvirt
import pytest

from hypervisor.libvirt_vm import LibvirtVm
from hypervisor.port import Source
from hypervisor.qemu_img import QemuImages
from stillframe.errors import LostTrack


class _Domain:
    """Of a VM that is on, and of which libvirt lists these images."""

    def __init__(self, images: list[Path]) -> None:
        self.images = images

    def XMLDesc(self, _flags: int) -> str:  # noqa: N802
        below = ""
        for image in reversed(self.images[1:]):
            below = f"<backingStore type='file'><source file='{image}'/>{below}</backingStore>"
        head = f"<driver type='qcow2'/><source file='{self.images[0]}'/>{below}<target dev='vda'/>"
        return f"<domain><devices><disk type='file' device='disk'>{head}</disk></devices></domain>"

    def isActive(self) -> int:  # noqa: N802
        return 1

    def connect(self) -> None:
        return None

    def name(self) -> str:
        return "vm1"

    def blockJobInfo(self, _target: str, _flags: int) -> dict[str, Any]:  # noqa: N802
        return {}

    def blockCommit(self, *_words: object) -> None:  # noqa: N802
        raise libvirt.libvirtError("unable to stat")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Four, head first."""
    found = [tmp_path / f"{number}.qcow2" for number in range(4)]
    found[3].write_bytes(bytes(1 << 20))
    for above, below, form in ((2, 3, "raw"), (1, 2, "qcow2"), (0, 1, "qcow2")):
        QemuImages().create_layer(str(found[above]), Source(str(found[below]), form), 1 << 20)
    return found


def _commit(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def there(_self: LibvirtVm) -> Iterator[_Domain]:
        yield _Domain(images)

    monkeypatch.setattr(LibvirtVm, "_domain", there)
    vm = LibvirtVm(SimpleNamespace(abandon=lambda: None), uuid4(), "here", 5)  # type: ignore[arg-type]
    vm.start_commit("vda", str(images[0]), str(images[1]))


def test_it_lists_what_was_merged_away(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The images themselves do without it: the VM is to be started anew."""
    QemuImages().rebase(str(images[1]), Source(str(images[3]), "raw"))
    images[2].unlink()
    with pytest.raises(LostTrack):
        _commit(images, monkeypatch)


def test_an_image_that_is_missing_is_not_one_that_was_merged(
    images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its storage is away: a VM that is powered off now does not start again, and nobody says that it should be."""
    images[2].rename(images[2].with_suffix(".away"))
    with pytest.raises(libvirt.libvirtError, match="unable to stat"):
        _commit(images, monkeypatch)
