"""The command line against a running API."""

import json
import sys
import threading
import time
from typing import Any
from uuid import UUID

import pytest

from models.jobs.journal import Journal
from models.session import transaction
from models.snapshots.tables import Snapshot
from stillframe.cli import show
from stillframe.client import Producer
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
    assert "Display name  plain" in cli("snapshot", "show", f"{name}/b").out
    assert len(set(at)) == 1
    assert vm


def test_a_display_name_that_is_the_name_is_not_said_twice(cli: Cli, world: World, name: str) -> None:
    """In a list and of one."""
    world.snapshot(world.vm(name), "s1")
    assert cli("snapshot", "list", "--vm", name).out.splitlines()[1].split()[:3] == [name, "s1", "-"]
    assert "Display name" not in cli("snapshot", "show", f"{name}/s1").out


def test_json_is_what_the_api_said(cli: Cli, client: Producer, world: World, name: str) -> None:
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
    cli: Cli, client: Producer, world: World, journal: Journal, name: str
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


def test_a_failed_job_says_why(cli: Cli, client: Producer, world: World, journal: Journal, name: str) -> None:
    """Exit code 1, with the job's own sentence and remedy."""
    world.vm(name)
    job = client.create_snapshot(name)
    worker = ending(
        journal, UUID(job["id"]), {"code": "x", "detail": "The disk is full.", "remedy": "Free space."}
    )
    said = cli("job", "watch", job["id"][-20:])
    worker.join()

    assert said.code == 1
    assert said.err.endswith("The disk is full.\nFree space.\n")


def test_interrupting_detaches(
    cli: Cli, client: Producer, world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the looking and not the job, says how to look again, and exits with 4."""
    world.vm(name)
    asked = Producer.job

    def interrupted(self: Producer, job_id: str, wait_s: float = 0) -> dict[str, Any]:
        asked(self, job_id)
        raise KeyboardInterrupt

    monkeypatch.setattr(Producer, "job", interrupted)
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
    assert cli("job", "cancel", id_).err.startswith(f"Job {id_} has already been cancelled; there is nothing")
    assert "create_snapshot" in cli("job", "show", id_).out
