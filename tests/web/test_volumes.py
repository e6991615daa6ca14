"""Volume snapshots over HTTP and by command: looked at, and deleted."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from models.ids import new_id
from models.session import transaction
from models.snapshots.tables import VolumeSnapshot
from models.tenants.tables import ADMIN_ACCOUNT
from stillframe.client import Producer
from stillframe.errors import StillframeError
from stillframe.operations import DeleteVolume
from stillframe.states import SnapshotState, VolumeSnapshotState
from tests.given import given
from tests.web.conftest import Api, Cli
from tests.world import World

pytestmark = pytest.mark.postgres


def volume(api: Api, world: World, name: str, **values: Any) -> UUID:
    """A ready one of a VM of that name."""
    vm = world.vm(name)
    of = world.snapshot(vm, state=values.pop("snapshot", SnapshotState.READY))
    with transaction(api.engine) as session:
        told = {"state": VolumeSnapshotState.READY, "path": "/images/stillframe/volumes/x.qcow2"} | values
        row = VolumeSnapshot(
            **{"id": new_id(), "name": f"v-{name}", "snapshot_id": of, "vm_id": vm, "target": "vda"},
            **{"host_id": world.host("h1"), "account_id": ADMIN_ACCOUNT, "size_bytes": 5 << 20},
            **told,
        )
        session.add(row)
    return row.id


def test_deleting_answers_with_a_job(client: Producer, api: Api, world: World, name: str) -> None:
    """202 and the job; asked again it is refused, and `actions` had the same words."""
    id_ = str(volume(api, world, name))
    assert client.volume(id_)["actions"] == {"delete": {"allowed": True, "reason": None}}
    job = client.delete_volume(id_)
    assert (job["kind"], job["volume_snapshot_id"], job["snapshot_id"]) == ("delete_volume", id_, None)
    with pytest.raises(StillframeError) as refused:
        client.delete_volume(id_)
    assert (refused.value.code, refused.value.status) == ("volume_snapshot.deletion_asked", 409)
    assert str(refused.value) in given(client.volume(id_)["actions"]["delete"]["reason"])


def test_a_plan_says_what_it_frees(client: Producer, api: Api, world: World, name: str) -> None:
    """Steps, bytes and whether it would be refused; nothing is asked for."""
    plan = client.plan(DeleteVolume(volume_snapshot_id=str(volume(api, world, name))))
    assert (plan["allowed"], plan["bytes"]["freed"]) == (True, 5 << 20)
    assert [step["name"] for step in plan["steps"]] == ["check_volume", "remove_image"]
    making = volume(api, world, f"{name}-b", state=VolumeSnapshotState.CREATING)
    plan = client.plan(DeleteVolume(volume_snapshot_id=str(making)))
    assert [one["code"] for one in plan["refusals"]] == ["volume_snapshot.not_ready"]


@pytest.mark.parametrize("id_", ["nonsense", "01a206ea-c83f-73bd-b757-917a5895aa7f"])
def test_what_is_none_is_not_found(http: httpx.Client, id_: str) -> None:
    """Neither by a word nor by an id that nobody has."""
    assert http.delete(f"/v1/volumes/{id_}").status_code == 404
    assert http.post(f"/v1/volumes/{id_}/delete:plan").status_code == 404


def test_people_delete_by_name(cli: Cli, client: Producer, api: Api, world: World, name: str) -> None:
    """`volume delete NAME` needs --yes without a terminal; --dry-run asks for nothing."""
    volume(api, world, name, snapshot=SnapshotState.DELETED)
    assert cli("volume", "delete", f"v-{name}").code == 2
    assert "remove_image" in cli("volume", "delete", f"v-{name}", "--dry-run").out
    assert client.jobs(vm=name)["items"] == []
    said = cli("volume", "delete", f"v-{name}", "--yes")
    assert said.code == 0
    assert [one["kind"] for one in client.jobs(vm=name)["items"]] == ["delete_volume"]
