"""What a person types for a thing and for an API, and how it is found."""

from pathlib import Path
from uuid import UUID

import pytest

from models.session import transaction
from models.vms.tables import Vm
from stillframe.client import Producer
from stillframe.states import SnapshotState
from tests.given import given
from tests.web.conftest import Api, Cli
from tests.world import World

pytestmark = pytest.mark.postgres


@pytest.fixture
def stack(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `make up` has written where the API is; nothing about it is in the environment."""
    monkeypatch.delenv("STILLFRAME_URL")
    monkeypatch.delenv("STILLFRAME_KEY")
    (tmp_path / "var").mkdir()
    file = tmp_path / "var" / "stack.env"
    file.write_text(f"# made\nSTILLFRAME_URL={api.url}\nexport STILLFRAME_KEY='{api.key}'\n")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    return file


def vanish(api: Api, vm: UUID) -> None:
    """Lets a VM be gone from its host."""
    with transaction(api.engine) as session:
        session.get_one(Vm, vm).gone = True


@pytest.mark.parametrize("form", ["{id}", "{vm}/s1", "{only}", "{short}", "{end}", "{hyphens}"])
def test_a_snapshot_is_found_by(cli: Cli, world: World, name: str, form: str) -> None:
    """Its id, VM/NAME, a name that only it has, and the end of its id, which tells ids of one moment apart."""
    others = world.vm(name)
    for _ in range(5):
        world.snapshot(others)
    only = form == "{only}"
    id_ = world.snapshot(world.vm(f"{name}-b"), f"only-{name}" if only else "s1")
    parts = {"short": id_.hex[-6:], "end": id_.hex[-20:], "hyphens": str(id_)[-15:].upper()}
    said = cli("snapshot", "show", form.format(id=id_, vm=f"{name}-b", only=f"only-{name}", **parts))

    assert said.code == 0, said.err
    assert str(id_) in said.out


def test_volumes_and_jobs_are_found_by_the_end_of_an_id(
    client: Producer, cli: Cli, world: World, name: str
) -> None:
    """As a table that is cut short shows it."""
    job = client.extract_volume(str(world.snapshot(world.vm(name), "s1")), "vda", f"v-{name}")
    volume = client.volume(given(job["volume_snapshot_id"]))

    assert job["id"] in cli("job", "show", job["id"][-8:]).out
    assert volume["id"] in cli("volume", "show", volume["id"][-8:]).out
    assert cli("job", "show", job["id"][-5:]).code == 5


def test_a_vm_that_is_gone_gives_its_name_up(
    api: Api, client: Producer, cli: Cli, world: World, name: str
) -> None:
    """Of two VMs of one name the one that is there is meant; the other's snapshots need its id or --gone."""
    gone, here = world.vm(name), world.vm(name)
    old, new = world.snapshot(gone, "s1"), world.snapshot(here, "s1")
    kept = world.snapshot(gone, "kept")
    vanish(api, gone)

    def ids(**filters: object) -> set[UUID]:
        found = client.every(client.snapshots, limit=200, **filters)
        return {UUID(one["id"]) for one in found} & {old, new, kept}

    assert ids() == ids(vm=name) == {new}
    assert ids(gone=True) == ids(vm=name, gone=True) == {old, new, kept}
    assert ids(vm=str(gone)) == {old, kept}
    assert str(new) in cli("snapshot", "show", f"{name}/s1").out
    assert str(kept) in cli("snapshot", "show", f"{name}/kept").out
    assert f"{name} (gone)" in cli("snapshot", "list", "--vm", name, "--gone").out
    assert client.snapshot(str(old))["vm_state"] == "gone"


def test_the_name_of_a_vm_that_is_gone(api: Api, cli: Cli, world: World, name: str) -> None:
    """When nobody else has it, a list says that the VM is gone and how its snapshots are seen; its events are listed."""
    vm = world.vm(name)
    world.snapshot(vm, "s1")
    assert cli("comment", "add", f"{name}/s1", "x").code == 0
    vanish(api, vm)
    said = cli("snapshot", "list", "--vm", name)

    assert said.code == 5
    assert f"`stillframe snapshot list --vm {name} --gone`" in said.err
    assert "s1" in cli("snapshot", "list", "--vm", name, "--gone").out
    assert "comment.added" in cli("event", "list", "--vm", name).out


def test_a_failed_snapshot_has_no_claim_on_its_name(cli: Cli, world: World, name: str) -> None:
    """VM/NAME means the good one of two that were asked for by one name."""
    vm = world.vm(name)
    world.snapshot(vm, "s1", state=SnapshotState.ERROR)
    good = world.snapshot(vm, "s1")

    assert str(good) in cli("snapshot", "show", f"{name}/s1").out


def test_an_ambiguous_word_names_the_candidates(cli: Cli, world: World, name: str) -> None:
    """Nothing is guessed: a name on two VMs is refused with both."""
    for vm in (f"{name}-a", f"{name}-b"):
        world.snapshot(world.vm(vm), f"both-{name}")
    said = cli("snapshot", "delete", f"both-{name}", "--yes")

    assert said.code == 2
    assert f"{name}-a/both-{name}" in said.err
    assert f"{name}-b/both-{name}" in said.err


def test_the_stack_of_the_folder_is_found(api: Api, cli: Cli, stack: Path, world: World, name: str) -> None:
    """Without variables, var/stack.env of the folder or one above says where the API is; a change names it first."""
    world.vm(name)
    looked, changed = cli("vm", "list", "-q", name), cli("snapshot", "create", name)

    assert (looked.code, looked.err) == (0, "")
    assert changed.err.splitlines()[0] == f"API {api.url} ({stack})"
    assert cli("snapshot", "create", name, "-o", "json").err == ""


def test_the_key_of_a_folder_goes_to_its_own_api_only(
    api: Api, cli: Cli, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address from the environment is asked with the key from the environment, or with none."""
    monkeypatch.setenv("STILLFRAME_URL", api.url)

    assert "This needs an API key" in cli("vm", "list").err


def test_a_stack_that_is_down(cli: Cli, stack: Path) -> None:
    """The file that named it, and what starts it."""
    stack.write_text("STILLFRAME_URL=http://127.0.0.1:1\n")
    said = cli("vm", "list")

    assert said.code == 1
    assert f"`make up` in {stack.parent.parent}" in said.err


def test_nobody_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that does not answer, or is none, is one sentence and exit code 1."""
    monkeypatch.setenv("STILLFRAME_URL", "http://127.0.0.1:1")
    gone = cli("vm", "list")
    monkeypatch.setenv("STILLFRAME_URL", "not an address")
    wrong = cli("vm", "list")

    assert (gone.code, wrong.code) == (1, 1)
    assert "does not answer" in gone.err
    assert "Check STILLFRAME_URL" in wrong.err


def test_outside_of_a_checkout(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has set nothing is told what the two variables are for, and what writes them."""
    monkeypatch.delenv("STILLFRAME_URL")
    monkeypatch.delenv("STILLFRAME_KEY")
    monkeypatch.setattr("stillframe.settings.Settings.url", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    said = cli("vm", "list")

    for words in ("STILLFRAME_URL says where", "STILLFRAME_KEY holds the key", "`make up`", "var/stack.env"):
        assert words in said.err


def test_without_a_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key and a wrong one are told apart, both refused."""
    monkeypatch.setenv("STILLFRAME_KEY", "")
    none = cli("vm", "list")
    monkeypatch.setenv("STILLFRAME_KEY", "wrong")
    wrong = cli("vm", "list")

    assert (none.code, wrong.code) == (5, 5)
    assert "This needs an API key" in none.err
    assert "not known" in wrong.err
