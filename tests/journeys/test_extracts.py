"""A policy that makes images of a volume, on a real guest: what it keeps reads back right, and nothing else is left."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab import readback
from tests.given import given
from tests.journeys.site import Site, until
from tests.journeys.witness import Witness


def test_a_policy_keeps_images_beyond_its_snapshots(site: Site, witness: Callable[..., Witness]) -> None:
    """Three runs while the guest writes: one snapshot is left and two images, each of its own instant."""
    vm = witness("qcow2")
    policy = site.client.create_policy(
        {
            "name": f"images-{vm.name}"[:64],
            "selector": {"names": [vm.name]},
            "schedules": [{"every": "100d"}],
            "retention": {"last": 1},
            "extract": {"targets": ["vda"], "retention": {"last": 2}},
        }
    )

    def images(state: str) -> list[str]:
        found = site.client.volumes(policy=policy["id"], state=state)["items"]
        return [one["id"] for one in found]

    def made(count: int) -> bool:
        return len(images("ready") + images("deleted")) == count

    def left() -> bool:
        found = site.client.snapshots(policy=policy["id"])["items"]
        return [one["state"] for one in found] == ["ready"]

    digests = []
    for number in range(1, 4):
        digests.append(vm.write())
        site.client.run_policy(policy["id"])
        until(partial(made, number), 120, f"image {number}")
        until(left, 120, "one snapshot is left: while one is deleted no other is taken")
    until(lambda: len(images("deleted")) == 1, 60, "the oldest image is deleted")

    kept = [site.client.volume(id_) for id_ in images("ready")]
    read = [
        hashlib.sha256(readback.read_file(Path(given(one["path"])), "/marker")).hexdigest() for one in kept
    ]
    assert read == [digests[2], digests[1]], "newest first"
    gone = site.client.volume(images("deleted")[0])
    assert not Path(given(gone["path"])).exists()
    assert len(list(Path(given(kept[0]["path"])).parent.iterdir())) == 4, (
        "two images and what lies beside them"
    )
    vm.runs(digests[2])

    site.client.delete_policy(policy["id"])
    for one in kept:
        site.succeeded(site.client.delete_volume(one["id"]))
    assert not Path(given(kept[0]["path"])).parent.exists()
