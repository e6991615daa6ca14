"""Checksums that follow a large extract."""

import hashlib
import json
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine

from hypervisor.qemu_img import QemuImages
from models.jobs.journal import Journal
from tests.world import World
from workers.checksums import Checksums
from workers.operations.extract_volume import manifest_of

pytestmark = pytest.mark.postgres


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with its manifest, as an extract leaves them."""
    image = tmp_path / "volume.qcow2"
    image.write_bytes(b"image" * 1000)
    Path(manifest_of(str(image))).write_text(json.dumps({"path": str(image), "sha256": None}))
    return image


def extracted(world: World, engine: Engine, path: str) -> UUID:
    """A volume snapshot whose job has just ended."""
    attempt = Journal(engine).claim(world.job(world.vm(), "extract_volume"), worker="w", lease_s=30)
    assert attempt is not None
    assert attempt.volume_snapshot_id is not None
    attempt.succeed({"path": path, "format": "qcow2", "size_bytes": 5000, "sha256": None}, None)
    return attempt.volume_snapshot_id


def test_the_checksum_of_a_ready_image_is_made_up_for(world: World, engine: Engine, image: Path) -> None:
    """Row, manifest and event say the digest of the file's bytes, and then there is nothing left to do."""
    volume = extracted(world, engine, str(image))
    checksums = Checksums(engine, QemuImages(), "h1")

    assert checksums.sum_next()

    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    assert world.volume_row(volume).sha256 == digest
    assert json.loads(Path(manifest_of(str(image))).read_text())["sha256"] == digest
    assert world.last_event().type == "volume.checksummed"
    assert not checksums.sum_next()


def test_an_image_that_is_missing_holds_nothing_up(world: World, engine: Engine, image: Path) -> None:
    """It is given up, and the next one is summed up all the same."""
    lost = extracted(world, engine, str(image.with_name("gone.qcow2")))
    volume = extracted(world, engine, str(image))
    checksums = Checksums(engine, QemuImages(), "h1")

    while checksums.sum_next():
        pass

    assert world.volume_row(lost).sha256 is None
    assert world.volume_row(volume).sha256 is not None
