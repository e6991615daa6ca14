"""`stillframe policy ...` against a running API."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func

from models.policies.tables import PolicyVm
from models.session import transaction
from stillframe.cli.policy_wishes import FIELDS
from stillframe.client import Producer
from stillframe.states import VmState
from tests.web.conftest import Api, Cli
from tests.world import World

pytestmark = pytest.mark.postgres


def test_a_policy_from_words(cli: Cli, world: World, name: str) -> None:
    """Made by options, it is listed with when, what and how much; paused, resumed, edited, deleted."""
    world.vm(name)
    made = cli(
        *("policy", "create", name, "--vm", name, "--cron", "30 2 * * *", "--timezone", "Asia/Seoul"),
        *("--keep", "last=3,daily=7,within=2d", "--mode", "hot"),
    )
    assert made.code == 0, made.err
    assert f"Policy {name} is made. Next: " in made.out
    listed = cli("policy", "list", "-q", name).out
    assert "30 2 * * * Asia/Seoul" in listed
    assert "last 3, daily 7, within 2d" in listed
    assert "paused" in cli("policy", "pause", name).out
    assert "paused" in cli("policy", "list", "-q", name).out
    assert "fires again" in cli("policy", "resume", name).out
    assert cli("policy", "edit", name, "--every", "6h").code == 0
    shown = json.loads(cli("policy", "show", name, "-o", "json").out)
    assert (shown["schedules"][0]["every"], shown["retention"]["daily"], shown["mode"]) == ("6h", 7, "hot")
    assert "every 6h" in cli("policy", "show", name).out
    asked = cli("policy", "delete", name)
    assert (asked.code, "Add --yes" in asked.err) == (2, True)
    assert cli("policy", "delete", name, "--yes").code == 0
    assert cli("policy", "show", name).code == 5


def test_vms_that_are_set_aside(api: Api, cli: Cli, client: Producer, world: World, name: str) -> None:
    """The list of policies says how many, `vms` which and why, and one is resumed by itself."""
    vm = world.vm(name)
    cli("policy", "create", name, "--vm", name, "--every", "6h", "--keep", "last=2")
    with transaction(api.engine) as session:
        why = {"failures": 4, "set_aside_at": func.now(), "set_aside_reason": "no room"}
        session.add(PolicyVm(policy_id=UUID(client.policy(name)["id"]), vm_id=vm, **why))
    assert "1 VM set aside" in cli("policy", "list", "-q", name).out
    assert "no room" in cli("policy", "vms", name, "--set-aside").out
    assert f"{name} (set aside)" in cli("policy", "preview", name).out
    assert f"takes snapshots of {name} again" in cli("policy", "resume", name, "--vm", name).out
    assert "no room" not in cli("policy", "vms", name).out
    assert cli("policy", "resume", name, "--vm", name).code == 5
    cli("policy", "run", name)
    deleted = cli("policy", "delete", name, "--yes")
    assert "1 firing (1 by `policy run`) still waited in line" in deleted.err


def test_what_is_not_given_stays(cli: Cli, client: Producer, world: World, name: str) -> None:
    """Another time leaves the rest of its schedule; a timezone or a jitter alone changes what is there."""
    world.vm(name)
    words = ("--vm", name, "--cron", "30 2 * * *", "--timezone", "Asia/Seoul", "--jitter", "30m")
    cli("policy", "create", name, *words, "--keep", "last=3")
    present = client.policy(name)
    (before,) = present["schedules"]
    more = {"misfire": "run_all", "overlap": "queue", "end_at": "2090-01-01T00:00:00Z"}
    wish = {field: present[field] for field in FIELDS}  # type: ignore[literal-required]
    client.edit_policy(name, wish | {"schedules": [dict(before) | more]})

    assert cli("policy", "edit", name, "--cron", "0 4 * * *").code == 0
    assert client.policy(name)["schedules"] == [dict(before) | more | {"cron": "0 4 * * *"}]
    assert cli("policy", "edit", name, "--timezone", "Europe/Berlin", "--jitter", "0").code == 0
    changed = {"cron": "0 4 * * *", "timezone": "Europe/Berlin", "jitter_s": 0}
    assert client.policy(name)["schedules"] == [dict(before) | more | changed]
    assert cli("policy", "edit", name, "--cron", "@daily", "--every", "6h", "--jitter", "90s").code == 0
    cron, every = client.policy(name)["schedules"]
    assert (cron["timezone"], every["timezone"], every["misfire"]) == ("Europe/Berlin",) * 2 + ("run_all",)
    assert (cron["jitter_s"], every["jitter_s"]) == (90, 90)


def test_who_is_meant_no_more_is_said(cli: Cli, client: Producer, world: World, name: str) -> None:
    """Another kind in the selector takes the place of all of it: the VMs that are left out are named."""
    for number in range(7):
        world.vm(f"{name}-{number}")
    client.tag_vm(f"{name}-6", add=[name])
    cli("policy", "create", name, "--vm", f"{name}-*", "--every", "6h", "--keep", "last=3")
    said = cli("policy", "edit", name, "--vm-tag", name)
    left = ", ".join(f"{name}-{number}" for number in range(5))
    means = f"now means 1 VM ({name}-6)"
    assert f"Beware: it no longer means 6 VMs ({left} and 1 more), and {means}." in said.err
    assert "Beware" not in cli("policy", "edit", name, "--vm", f"{name}-?").err
    assert "now means no VM" in cli("policy", "edit", name, "--vm", f"{name}-none").err


def test_how_a_selector_combines_is_shown(cli: Cli, world: World, name: str) -> None:
    """Any of one kind, and all kinds."""
    world.vm(name, host=f"h-{name}")
    words = ("--vm", name, "--vm", "b*", "--vm-tag", "x", "--vm-tag", "y", "--host", f"h-{name}")
    made = cli("policy", "create", name, *words, "--every", "6h", "--keep", "last=3", "--allow-empty")
    assert made.code == 0, made.err
    assert f"{name} or b*, and tag x or tag y, and host h-{name}" in cli("policy", "list", "-q", name).out


def test_what_comes_to_a_standstill_is_warned_of(cli: Cli, world: World, name: str) -> None:
    """Keeping everything under a guard on depth, and cold snapshots of a VM that runs; not of one that is off."""
    world.vm(name, VmState.RUNNING)
    world.vm(f"{name}-off", VmState.OFF)
    words = ("policy", "create", name, "--vm", name, "--every", "6h", "--mode", "cold", "--keep", "all")
    said = cli(*words).err
    assert "Beware: it keeps everything, and its guard `max_depth` stops it at 16 layers" in said
    assert f"Beware: it takes cold snapshots, and {name} is not off now" in said
    assert "keeps everything" not in cli("policy", "edit", name, "--keep", "max_age=30d").err
    said = cli("policy", "edit", name, "--vm", f"{name}-off", "--keep", "last=3").err
    assert "keeps everything" not in said
    assert "cold" not in said


def test_times_are_written_as_lengths_and_as_days(
    cli: Cli, client: Producer, world: World, name: str
) -> None:
    """So long from now, or a day: of a pause, and of a key's end."""
    world.vm(name)
    cli("policy", "create", name, "--vm", name, "--every", "6h", "--keep", "last=3")
    week = datetime.now(UTC) + timedelta(days=7)
    assert cli("policy", "pause", name, "--until", "7d").code == 0
    assert abs(instant(client.policy(name)["paused_until"]) - week) < timedelta(minutes=1)
    assert cli("policy", "pause", name, "--until", "2090-01-31").code == 0
    assert instant(client.policy(name)["paused_until"]) == datetime(2090, 1, 31, tzinfo=UTC)
    for expires, at in (("7d", week), ("2090-01-31", datetime(2090, 1, 31, tzinfo=UTC))):
        made = cli("key", "create", "admin", "--name", name, "--expires", expires, "-o", "json")
        assert made.code == 0, made.err
        assert abs(instant(json.loads(made.out)["expires_at"]) - at) < timedelta(minutes=1)


def instant(text: str | None) -> datetime:
    assert text
    return datetime.fromisoformat(text)


def test_what_is_no_time_is_answered_in_one_sentence(cli: Cli, world: World, name: str) -> None:
    """Not in one for each that it could have been, nor in the words of the code."""
    world.vm(name)
    cli("policy", "create", name, "--vm", name, "--every", "6h", "--keep", "last=3")
    for words in (("pause", name, "--until", "soon"), ("edit", name, "--every", "often")):
        said = cli("policy", *words)
        assert said.code == 2
        assert "such as 7d" in said.err or "write 15m, 6h, 7d or 2w" in said.err
        assert not any(word in said.err for word in ("[", "function", "constrained", "Value error"))


def test_an_edit_that_changes_nothing_is_a_usage_error(cli: Cli, world: World, name: str) -> None:
    """It says what can be said, instead of that something is changed."""
    world.vm(name)
    cli("policy", "create", name, "--vm", name, "--every", "6h", "--keep", "last=3")
    said = cli("policy", "edit", name)
    assert said.code == 2
    assert "say what to change" in said.err


def test_a_policy_from_a_file(cli: Cli, client: Producer, world: World, name: str, tmp_path: Path) -> None:
    """What `show -o json` says makes a policy of another name, and puts one back as it was."""
    world.vm(name)
    words = ("--vm", name, "--every", "6h", "--keep", "last=3", "--jitter", "5m", "--mode", "hot")
    cli("policy", "create", name, *words)
    before = client.policy(name)
    file = tmp_path / "policy.json"
    file.write_text(cli("policy", "show", name, "-o", "json").out)
    made = cli("policy", "create", f"{name}-2", "--file", str(file))
    assert made.code == 0, made.err
    for field in set(FIELDS) - {"name"}:
        assert client.policy(f"{name}-2")[field] == before[field]  # type: ignore[literal-required]
    cli("policy", "edit", name, "--every", "7d", "--mode", "cold", "--rename", f"{name}-3")
    assert cli("policy", "edit", f"{name}-3", "--file", str(file)).code == 0
    assert {field: client.policy(name)[field] for field in FIELDS} == {  # type: ignore[literal-required]
        field: before[field]  # type: ignore[literal-required]
        for field in FIELDS
    }
    file.write_text(json.dumps({"colour": "red", "name": f"{name}-4"}))
    assert "colour" in cli("policy", "create", "--file", str(file)).err


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (("--every", "6h", "--keep", "all"), "needs VMs"),
        (("--vm", "*", "--keep", "all"), "needs a schedule"),
        (("--vm", "*", "--every", "6h"), "needs to know what it keeps"),
        (("--vm", "*", "--every", "6h", "--keep", "last"), "last=3,daily=7"),
        (("--vm", "*", "--every", "6h", "--keep", "dayly=3"), "last, hourly, daily,"),
        (("--vm", "*", "--every", "6h", "--keep", "last=0"), "would keep nothing"),
        (("--vm", "*", "--cron", "0 0 30 2 *", "--keep", "last=3"), "0 0 30 2 *"),
        (("--vm", "*", "--every", "6h", "--timezone", "Mars/Olympus", "--keep", "last=3"), "no timezone"),
        (("--vm", "*", "--every", "20s", "--keep", "last=3"), "a minute is the least"),
        (("--vm", "*", "--every", "6h", "--keep", "last=9,max_count=3"), "contradicts itself"),
        (("--file", "/no/such/file"), "/no/such/file"),
    ],
)
def test_what_is_missing_is_said(cli: Cli, name: str, words: tuple[str, ...], say: str) -> None:
    """A wish that is not whole is a usage error that says what to write."""
    said = cli("policy", "create", name, *words)
    assert said.code == 2, said.err
    assert say in said.err


def test_a_policy_for_nobody_is_refused_with_the_way_out(cli: Cli, name: str) -> None:
    """A selector that matches nothing is refused, unless that is what is meant."""
    words = ("policy", "create", name, "--vm", "no-such-*", "--every", "6h", "--keep", "last=3")
    said = cli(*words)
    assert said.code != 0
    assert "matches no VM" in said.err
    assert "--allow-empty" in said.err
    assert cli(*words, "--allow-empty").code == 0


def test_runs_and_preview_are_shown(cli: Cli, world: World, name: str) -> None:
    """Fired now, its run is listed; the preview tells the next ones."""
    world.vm(name)
    cli("policy", "create", name, "--vm", name, "--every", "6h", "--keep", "last=1")
    assert "fires for 1 VM when it has its turn" in cli("policy", "run", name).out
    assert "waiting" in cli("policy", "runs", name).out
    assert cli("policy", "runs", name, "--state", "failed").err.strip() == "It has not fired yet."
    said = cli("policy", "preview", name, "--runs", "2")
    assert said.code == 0
    assert said.out.count(name) == 2


def test_a_policy_is_told_what_to_extract(cli: Cli, client: Producer, world: World, name: str) -> None:
    """Volumes and what is kept of their images go together; it is shown, changed, and taken back."""
    world.vm(name)
    create = ("policy", "create", f"p-{name}", "--vm", name, "--every", "30d", "--keep", "last=2")
    assert cli(*create, "--extract", "vda").code == 2
    assert cli(*create, "--extract", "vda", "--extract", "vdb", "--keep-extracted", "last=3").code == 0
    assert "vda, vdb; keeps last 3" in cli("policy", "show", f"p-{name}").out
    assert cli("policy", "edit", f"p-{name}", "--keep-extracted", "daily=5").code == 0
    extract = client.policy(f"p-{name}")["extract"]
    assert extract is not None
    assert (extract["targets"], extract["retention"]["daily"]) == (["vda", "vdb"], 5)
    assert cli("policy", "preview", f"p-{name}").code == 0
    assert cli("policy", "edit", f"p-{name}", "--no-extract").code == 0
    assert client.policy(f"p-{name}")["extract"] is None
