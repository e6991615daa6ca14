"""The command line against a running API."""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from models.journal import Journal
from models.session import transaction
from models.snapshot import Snapshot
from stillframe.cli import show
from stillframe.client import Client
from tests.web.conftest import Api, Cli
from tests.world import World

pytestmark = pytest.mark.postgres


def ending(
    journal: Journal, job: UUID, error: dict[str, Any] | None = None, after_s: float = 0.5
) -> threading.Thread:
    """Works on a job for a moment and ends it, as a worker does."""
    attempt = journal.claim(job, worker="w", lease_s=30)
    assert attempt is not None

    def work() -> None:
        attempt.start("cut_layers")
        attempt.renew(30, {"done": 1 << 30, "total": 2 << 30, "unit": "bytes", "rate": 1 << 28, "eta_s": 4})
        time.sleep(after_s)
        if error:
            attempt.fail(error, None)
        else:
            attempt.succeed({"consistency": "crash"}, None)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_hangul_stays_in_its_column(cli: Cli, world: World, name: str) -> None:
    """A list of Korean and English display names is aligned as a terminal shows it."""
    vm = world.vm(name)
    for one, words in (("a", "업그레이드 전"), ("b", "plain")):
        assert cli("snapshot", "create", name, "--name", one, "--display-name", words).code == 0
    lines = cli("snapshot", "list", "--vm", name, "--sort", "name").out.splitlines()
    at = [
        show.width(line[: line.index(word)])
        for line, word in zip(lines, ("STATE", "creating", "creating"), strict=True)
    ]

    assert "업그레이드 전" in lines[1]
    assert len(set(at)) == 1
    assert vm


def test_json_is_what_the_api_said(cli: Cli, client: Client, world: World, name: str) -> None:
    """With -o json a program gets the items of the contract, whole and in UTF-8."""
    id_ = world.snapshot(world.vm(name), "s1")
    client.edit_snapshot(str(id_), {"display_name": "밤"})
    (one,) = json.loads(cli("snapshot", "list", "--vm", name, "-o", "json").out)

    assert one == client.snapshot(str(id_))
    assert json.loads(cli("snapshot", "show", str(id_), "-o", "json").out) == one
    assert json.loads(cli("vm", "show", name, "-o", "json").out) == client.vm(name)


def test_a_problem_is_json_too(cli: Cli) -> None:
    """With -o json what went wrong is an object on stderr, and stdout stays empty."""
    said = cli("vm", "show", "nobody", "-o", "json")

    assert (said.code, said.out) == (5, "")
    assert json.loads(said.err)["code"] == "vm.not_found"


@pytest.mark.parametrize("form", ["{id}", "{vm}/s1", "{only}", "{id:.13}"])
def test_a_snapshot_is_found_by(cli: Cli, world: World, name: str, form: str) -> None:
    """Its id, VM/NAME, a name that only it has, and the beginning of its id."""
    vm = world.vm(name)
    world.snapshot(vm, "s1")
    time.sleep(0.002)
    id_ = (
        world.snapshot(vm, f"only-{name}")
        if form == "{only}"
        else world.snapshot(world.vm(f"{name}-b"), "s1")
    )
    word = form.format(id=str(id_), vm=f"{name}-b", only=f"only-{name}")
    said = cli("snapshot", "show", word)

    assert said.code == 0, said.err
    assert str(id_) in said.out


def test_an_ambiguous_word_names_the_candidates(cli: Cli, world: World, name: str) -> None:
    """Nothing is guessed: a name on two VMs is refused with both."""
    for vm in (f"{name}-a", f"{name}-b"):
        world.snapshot(world.vm(vm), f"both-{name}")
    said = cli("snapshot", "delete", f"both-{name}", "--yes")

    assert said.code == 2
    assert f"{name}-a/both-{name}" in said.err
    assert f"{name}-b/both-{name}" in said.err


@pytest.mark.parametrize("word", ["nothing", "nobody/s1", "", "/", "a/b/c", "../..", "0123456", "%"])
def test_a_word_that_names_nothing(cli: Cli, word: str) -> None:
    """Whatever is typed for a snapshot that is not there is answered with one sentence and exit code 5."""
    said = cli("snapshot", "show", word)

    assert (said.code, said.out) == (5, "")
    assert "There is no" in said.err


def test_the_tree_shows_where_the_vm_stands(api: Api, cli: Cli, world: World, name: str) -> None:
    """Parents and branches as the rows have them, with "you are here" at the current snapshot."""
    vm = world.vm(name)
    s1, s2, s3 = (world.snapshot(vm, one) for one in ("s1", "s2", "s3"))
    with transaction(api.engine) as session:
        session.get_one(Snapshot, s2).parent_id = s1
        session.get_one(Snapshot, s3).parent_id = s1
        session.get_one(Snapshot, s2).current = True
    lines = cli("snapshot", "tree", name).out.splitlines()

    assert [line.split()[:2] for line in lines[1:3]] == [["└─", "s1"], ["├─", "s2"]]
    assert [line.endswith("<- you are here") for line in lines] == [False, False, True, False]


def test_waiting_shows_progress_and_ends_with_the_job(
    cli: Cli, client: Client, world: World, journal: Journal, name: str
) -> None:
    """Without a terminal progress comes as lines, and the exit code says how it ended."""
    world.vm(name)
    job = client.create_snapshot(name)
    worker = ending(journal, UUID(job["id"]), after_s=1.5)
    said = cli("job", "watch", job["id"])
    worker.join()

    assert said.code == 0
    assert "running: cut layers   50 %  1.0 GiB of 2.0 GiB  256 MiB/s  4 s left" in said.err
    assert "succeeded" in said.out


def test_a_failed_job_says_why(cli: Cli, client: Client, world: World, journal: Journal, name: str) -> None:
    """Exit code 1, with the job's own sentence and remedy."""
    world.vm(name)
    job = client.create_snapshot(name)
    worker = ending(
        journal, UUID(job["id"]), {"code": "x", "detail": "The disk is full.", "remedy": "Free space."}
    )
    said = cli("job", "watch", job["id"][:20])
    worker.join()

    assert said.code == 1
    assert said.err.endswith("The disk is full.\nFree space.\n")


def test_interrupting_detaches(
    cli: Cli, client: Client, world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the looking and not the job, says how to look again, and exits with 4."""
    world.vm(name)
    asked = Client.job

    def interrupted(self: Client, job_id: str, wait_s: float = 0) -> dict[str, Any]:
        asked(self, job_id)
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "job", interrupted)
    said = cli("snapshot", "create", name, "--wait")
    monkeypatch.undo()
    (job,) = client.jobs(vm=name)["items"]

    assert said.code == 4
    assert f"`stillframe job watch {job['id']}`" in said.err
    assert job["state"] == "queued"
    assert job["cancel_requested_at"] is None


@pytest.mark.parametrize("verb", ["delete", "revert"])
def test_what_cannot_be_taken_back_is_not_done_unasked(cli: Cli, world: World, name: str, verb: str) -> None:
    """Without a terminal and without --yes nothing happens, with exit code 2; with --yes it does."""
    id_ = str(world.snapshot(world.vm(name), "s1"))
    refused = cli("snapshot", verb, id_)

    assert refused.code == 2
    assert "--yes" in refused.err
    assert cli("job", "list", "--vm", name, "-o", "json").out == "[]\n"
    assert cli("snapshot", verb, id_, "--yes").code == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 5), ("\n", 5), ("", 5)])
def test_a_terminal_is_asked(
    cli: Cli, world: World, name: str, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    """Only a clear yes counts; the question names the snapshot and the VM."""
    id_ = str(world.snapshot(world.vm(name), "s1"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
    said = cli("snapshot", "delete", id_)

    assert said.code == code
    assert f"Delete snapshot s1 of VM {name}?" in said.err
    assert ("Nothing was done." in said.err) is (code == 5)


def test_a_list_says_when_there_is_more(cli: Cli, world: World, name: str) -> None:
    """--limit cuts and says so; --all leaves nothing out."""
    vm = world.vm(name)
    for _ in range(4):
        world.snapshot(vm)
    cut = cli("snapshot", "list", "--vm", name, "--limit", "3")

    assert len(cut.out.splitlines()) == 4
    assert "there are more" in cut.err
    assert len(cli("snapshot", "list", "--vm", name, "--all").out.splitlines()) == 5


def test_comments_volumes_hosts_jobs_and_events_are_shown(cli: Cli, world: World, name: str) -> None:
    """Each noun has its list, and what there is of it is in it."""
    vm = world.vm(name, host=name)
    id_ = str(world.snapshot(vm, "s1"))
    assert cli("comment", "add", f"{name}/s1", "좋습니다").code == 0
    assert cli("snapshot", "extract", f"{name}/s1", "vda", "--name", f"v-{name}").code == 0

    assert "좋습니다" in cli("comment", "list", id_).out
    assert f"v-{name}" in cli("volume", "list", "--vm", name).out
    assert "creating" in cli("volume", "show", f"v-{name}").out
    assert name in cli("host", "list", "--all").out
    assert name in cli("vm", "list", "--host", name).out
    assert "extract_volume" in cli("job", "list", "--snapshot", f"{name}/s1").out
    assert "comment.added" in cli("event", "list", "--vm", name).out


def test_a_job_is_cancelled(cli: Cli, world: World, name: str) -> None:
    """A queued job ends at once, and its end is shown."""
    world.vm(name)
    id_ = cli("snapshot", "create", name).out.strip()

    assert "cancelled" in cli("job", "cancel", id_).out
    assert cli("job", "cancel", id_).code == 5
    assert "create_snapshot" in cli("job", "show", id_).out


def test_the_stack_of_the_folder_is_found(
    api: Api, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without variables, var/stack.env of the folder or one above says where the API is."""
    monkeypatch.delenv("STILLFRAME_URL")
    monkeypatch.delenv("STILLFRAME_KEY")
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "stack.env").write_text(
        f"# made\nSTILLFRAME_URL={api.url}\nexport STILLFRAME_KEY='{api.key}'\n"
    )
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")

    assert cli("vm", "list").code == 0


def test_nobody_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that does not answer, or is none, is one sentence and exit code 1."""
    monkeypatch.setenv("STILLFRAME_URL", "http://127.0.0.1:1")
    gone = cli("vm", "list")
    monkeypatch.setenv("STILLFRAME_URL", "not an address")
    wrong = cli("vm", "list")

    assert (gone.code, wrong.code) == (1, 1)
    assert "does not answer" in gone.err
    assert "Check STILLFRAME_URL" in wrong.err


def test_without_a_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key and a wrong one are told apart, both refused."""
    monkeypatch.setenv("STILLFRAME_KEY", "")
    none = cli("vm", "list")
    monkeypatch.setenv("STILLFRAME_KEY", "wrong")
    wrong = cli("vm", "list")

    assert (none.code, wrong.code) == (5, 5)
    assert "This needs an API key" in none.err
    assert "not known" in wrong.err
