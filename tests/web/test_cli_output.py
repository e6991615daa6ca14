"""What the command line prints, where, and for whom."""

import json
import os
import re
import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest

from models.jobs.journal import Journal
from models.moves import Told, tell
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.vms.tables import Vm
from stillframe.cli import show
from stillframe.client import Producer
from stillframe.events import EventType, Level
from stillframe.states import SnapshotState, SnapshotType
from tests.web.conftest import Api, Cli
from tests.web.test_cli import ending
from tests.world import World

pytestmark = pytest.mark.postgres


def begun(journal: Journal, job: str) -> None:
    """A worker has taken the job up and begun its first step."""
    attempt = journal.claim(UUID(job), worker="lab/1", lease_s=30)
    assert attempt is not None
    attempt.start("check_vm")


def test_events_say_which_job_of_what(
    cli: Cli, client: Producer, world: World, journal: Journal, name: str
) -> None:
    """The operation and the snapshot, in the table and in JSON; steps only when asked for."""
    world.vm(name)
    job = client.create_snapshot(name, name="s1")
    begun(journal, job["id"])
    listed = cli("event", "list", "--vm", name)
    with_steps = cli("event", "list", "--vm", name, "--steps")
    data = json.loads(cli("event", "list", "--vm", name, "-o", "json").out)

    assert len(listed.out.splitlines()) == 2
    assert all(line.endswith("create_snapshot of s1") for line in listed.out.splitlines())
    assert "create_snapshot of s1: check vm" in with_steps.out
    assert [(one["type"], one["job_kind"], one["snapshot_name"]) for one in data] == [
        ("job.queued", "create_snapshot", "s1"),
        ("job.started", "create_snapshot", "s1"),
    ]


def test_events_are_narrowed(
    api: Api, client: Producer, cli: Cli, world: World, journal: Journal, name: str
) -> None:
    """By the beginning of a type and by level; the API leaves nothing out by itself."""
    vm = world.vm(name)
    job = client.create_snapshot(name, name="s1")
    begun(journal, job["id"])
    with transaction(api.engine) as session:
        tell(session, Told(EventType.VM_GONE, "host", Level.WARNING), vm=vm)
        tell(session, Told(EventType.JOB_STUCK, "host", Level.ERROR), vm=vm)

    def types(**filters: Any) -> list[str]:
        return [one["type"] for one in client.events(vm=name, after=0, **filters)["items"]]

    all_types = ["job.queued", "job.started", "step.started", "vm.gone", "job.stuck"]
    assert types() == all_types
    assert types(steps=False) == [one for one in all_types if one != "step.started"]
    assert types(type="job.") == ["job.queued", "job.started", "job.stuck"]
    assert types(type="job") == types(type="job_") == types(type="%.") == []
    assert types(level="warning") == ["vm.gone", "job.stuck"]
    assert types(level="error") == ["job.stuck"]
    for words, count in ((("--type", "job"), 3), (("--type", "step"), 1), (("--level", "error"), 1)):
        assert len(cli("event", "list", "--vm", name, *words).out.splitlines()) == count


def test_what_was_found_of_a_vm_is_told_in_sentences(api: Api, cli: Cli, world: World, name: str) -> None:
    """An event with findings says each with its remedy; nothing is said twice, and nothing as a program has it."""
    vm = world.vm(name)
    finding = {"kind": "layer.orphan", "detail": "Nobody needs x.qcow2.", "remedy": "Rescan with --repair."}
    with transaction(api.engine) as session:
        drifted = Told(EventType.VM_DRIFTED, "lab", Level.WARNING, "layer.orphan", {"findings": [finding]})
        tell(session, drifted, vm=vm)
        snapshot = world.snapshot(vm, "s1")
    with transaction(api.engine) as session:
        adopted = Told(EventType.SNAPSHOT_ADOPTED, "lab", message="s1")
        tell(session, adopted, vm=vm, snapshot=snapshot)
    first, second = cli("event", "list", "--vm", name).out.splitlines()[-2:]
    assert first.endswith("  Nobody needs x.qcow2. Rescan with --repair.")
    assert second.endswith("  s1")


def test_a_list_of_events_says_that_it_shows_the_newest(cli: Cli, world: World, name: str) -> None:
    """The newest are kept, the newest last."""
    world.snapshot(world.vm(name), "s1")
    for word in ("one", "two", "three"):
        assert cli("comment", "add", f"{name}/s1", word).code == 0
    said = cli("event", "list", "--vm", name, "--limit", "2")

    assert said.err == "The newest 2 are shown; there are more (--limit N, --all).\n"
    assert len(said.out.splitlines()) == 2


@pytest.mark.parametrize("more", [(), ("--wait",)])
def test_json_is_one_document(
    cli: Cli, client: Producer, world: World, journal: Journal, name: str, more: tuple[str, ...]
) -> None:
    """Whether it is waited for or not, stdout is one object and stderr is empty."""
    world.vm(name)
    job = client.create_snapshot(name, name="s1", idempotency_key=f"k-{name}")
    worker = ending(journal, UUID(job["id"]), after_s=0.3)
    words = ("snapshot", "create", name, "--name", "s1", "--idempotency-key", f"k-{name}", "-o", "json")
    said = cli(*words, *more)
    worker.join()

    assert json.loads(said.out)["id"] == job["id"]
    assert said.err == ""


def test_waiting_without_a_terminal_says_little(
    cli: Cli, client: Producer, world: World, journal: Journal, name: str
) -> None:
    """That a job is queued is no news; how it ended, and in what time, is."""
    world.vm(name)
    job = client.create_snapshot(name, name="s1", idempotency_key=f"k-{name}")
    worker = ending(journal, UUID(job["id"]), after_s=0.3)
    said = cli("snapshot", "create", name, "--name", "s1", "--idempotency-key", f"k-{name}", "--wait")
    worker.join()

    assert re.fullmatch(rf"create_snapshot of VM {name}: succeeded in \d\.\d s\n", said.out)
    assert "queued" not in said.err
    assert len(said.err.splitlines()) <= 1


def test_what_does_not_apply_is_left_out(api: Api, cli: Cli, world: World, name: str) -> None:
    """A hot snapshot has no memory, and a state without a known reason has none."""
    vm = world.vm(name)
    hot, memory = world.snapshot(vm, "hot"), world.snapshot(vm, "memory", type_=SnapshotType.MEMORY)
    with transaction(api.engine) as session:
        session.get_one(Vm, vm).reason = "unknown"
        session.get_one(Snapshot, hot).memory_bytes = 0
        session.get_one(Snapshot, memory).memory_bytes = 1 << 20

    assert "Memory" not in cli("snapshot", "show", f"{name}/hot").out
    assert "Memory" in cli("snapshot", "show", f"{name}/memory").out
    assert "(" not in next(line for line in cli("vm", "show", name).out.splitlines() if "State" in line)


def test_each_wrong_field_is_shown(cli: Cli, world: World, name: str) -> None:
    """All of them, below the remedy that points at them."""
    world.vm(name)
    tags = [word for _ in range(5) for word in ("--tag", "x" * 65)]
    lines = cli("snapshot", "create", name, *tags).err.splitlines()

    assert [line.split(":")[0] for line in lines[2:]] == [f"  body.tags.{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (("snapshot", "create", "web1", "--quies", "never"), "usage: stillframe snapshot create"),
        (("snapshot", "list", "--bogus"), "usage: stillframe snapshot list"),
        (("event", "list", "--lim", "3"), "usage: stillframe event list"),
        (("snapshot",), "usage: stillframe snapshot"),
        ((), "usage: stillframe"),
    ],
)
def test_an_unknown_option_shows_the_usage_of_its_verb(cli: Cli, words: tuple[str, ...], usage: str) -> None:
    """Nothing is abbreviated, for a script would break when another option is added; exit code 2."""
    said = cli(*words)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(usage)


def test_ids_are_cut_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the end that every command takes; in a pipe and where there is room they are whole."""
    id_ = show.Id("01a206ea-c83f-73bd-b757-917a5895aa7f")
    for columns, shown in (("30", "5895aa7f"), ("80", id_)):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        show.table(("NAME", "ID"), [("s1", id_)], "none")
        assert capsys.readouterr().out.split()[-1] == shown
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    monkeypatch.setenv("COLUMNS", "30")
    show.table(("NAME", "ID"), [("s1", id_)], "none")
    assert capsys.readouterr().out.split()[-1] == id_


@pytest.mark.parametrize(
    "words", ["event list --all", "event list --all -o json", "--help", "snapshot --bogus"]
)
def test_a_reader_that_has_seen_enough_is_no_error(api: Api, world: World, name: str, words: str) -> None:
    """`| head` ends the command without a word, whatever was still to be said."""
    vm = world.vm(name)
    with transaction(api.engine) as session:
        for _ in range(1500 if words.startswith("event") else 0):
            tell(session, Told(EventType.VM_CHANGED, "host", message="x" * 60), vm=vm)
    command = f"{sys.executable} -m stillframe.cli {words} 2>&1"
    for reader in ("head -n 1", "true"):
        ended = subprocess.run(
            ["bash", "-c", f"({command}; echo $? >&3) 3>&2 | {reader}"],
            env=os.environ | {"STILLFRAME_URL": api.url, "STILLFRAME_KEY": api.key},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "Traceback" not in ended.stdout + ended.stderr
        assert "Exception" not in ended.stdout + ended.stderr
        assert ended.stderr.strip() in {"0", "2"}


def test_the_tree_leaves_out_what_never_grew(cli: Cli, world: World, name: str) -> None:
    """A snapshot that failed has no place in it; how many there are, and where they are seen, is said beside it."""
    vm = world.vm(name)
    world.snapshot(vm, "good")
    world.snapshot(vm, "bad", state=SnapshotState.ERROR, targets=())
    said = cli("snapshot", "tree", name)

    assert "good" in said.out
    assert "bad" not in said.out
    assert said.err.startswith("Left out: 1 that failed")
