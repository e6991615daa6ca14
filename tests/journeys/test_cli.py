"""The command line as people have it: a program of its own against the running stack, its words and its exit codes."""

import unicodedata
from collections.abc import Callable

from tests.given import given
from tests.journeys.command import Cli
from tests.journeys.site import Site
from tests.journeys.witness import Witness

Made = Callable[..., Witness]


def test_hangul_there_and_back(site: Site, cli: Cli) -> None:
    """Korean words given to the command line, composed or not, are the same over HTTP, in lists, searches and comments."""
    guest = site.guest(start=False)
    site.seen(guest)
    shown, told = "업데이트 전 상태 (밤 11시)", "보안 패치를 하기 전에\n찍어 둔 것"
    decomposed = unicodedata.normalize("NFD", shown)
    assert decomposed != shown
    words = (
        "--name",
        "before",
        "--display-name",
        decomposed,
        "--description",
        told,
        "--tag",
        "야간",
        "--wait",
    )
    job = cli.json("snapshot", "create", guest.name, *words)
    assert job["state"] == "succeeded"

    row = site.client.snapshot(job["snapshot_id"])
    assert (row["display_name"], row["description"], row["tags"]) == (shown, told, ["야간"])
    assert cli.json("snapshot", "show", f"{guest.name}/before") == row
    (found,) = site.client.snapshots(vm=guest.name, q="밤 11시")["items"]
    assert found["id"] == row["id"]
    table = cli("snapshot", "list", "--vm", guest.name)
    assert shown in table.stdout
    assert cli("comment", "add", f"{guest.name}/before", "되돌려도 됩니다").returncode == 0
    assert [one["text"] for one in site.client.comments(row["id"])["items"]] == ["되돌려도 됩니다"]
    over_http = site.client.create_snapshot(guest.name, name="after", display_name="업데이트 후")
    site.succeeded(over_http)
    tree = cli("snapshot", "tree", guest.name)
    assert "before" in tree.stdout
    assert "after" in tree.stdout
    assert cli.json("snapshot", "show", f"{guest.name}/after")["display_name"] == "업데이트 후"


def test_the_road_by_hand(site: Site, cli: Cli, witness: Made) -> None:
    """Create, revert, extract and delete by command, each waited for, end with code 0 and with the right data."""
    vm = witness()
    digest = vm.write()
    assert cli("snapshot", "create", vm.name, "--name", "s1", "--type", "memory", "--wait").returncode == 0
    vm.write()
    assert cli("snapshot", "revert", f"{vm.name}/s1", "--yes", "--wait").returncode == 0
    vm.runs(digest)
    assert cli("snapshot", "extract", f"{vm.name}/s1", "vda", "--wait").returncode == 0
    assert cli("snapshot", "delete", f"{vm.name}/s1", "--yes", "--wait").returncode == 0
    vm.runs(digest)
    vm.is_tidy()


def test_what_is_wrong_and_its_exit_code(site: Site, cli: Cli) -> None:
    """2 is a wrong request, 5 a refusal with its reason, 1 a failure; after none of them anything has changed."""
    guest = site.guest(start=False)
    site.seen(guest)
    done = cli.json("snapshot", "create", guest.name, "--name", "taken", "--wait")
    before = len(site.client.jobs(vm=guest.name)["items"])
    create = ("snapshot", "create")
    table: list[tuple[int, tuple[str, ...]]] = [
        (2, ()),
        (2, ("snapshot", "explode", "x")),
        (2, (*create, guest.name, "--type", "warm")),
        (2, (*create, guest.name, "--name", "../../etc/passwd")),
        (2, (*create, guest.name, "--name", "한글")),
        (2, (*create, guest.name, "--name", "")),
        (2, (*create, guest.name, "--display-name", " ")),
        (2, (*create, guest.name, "--display-name", "x" * 256)),
        (2, (*create, guest.name, "--tag", "")),
        (5, (*create, "nobody")),
        (5, (*create, "..")),
        (5, (*create, guest.name, "--type", "memory")),
        (5, (*create, guest.name, "--type", "hot")),
        (5, (*create, guest.name, "--name", "taken")),
        (5, ("snapshot", "show", f"{guest.name}/nothing")),
        (5, ("snapshot", "extract", f"{guest.name}/taken", "vdz")),
        (2, ("snapshot", "revert", f"{guest.name}/taken")),
        (2, ("snapshot", "delete", f"{guest.name}/taken")),
        (5, ("job", "show", "01a206d9-332c-7437-b04d-6defd2ff10bc")),
        (5, ("job", "cancel", done["id"])),
    ]
    for code, words in table:
        said = cli(*words)
        assert said.returncode == code, (words, said.stdout, said.stderr)
        assert said.stderr.strip(), words
        assert "Traceback" not in said.stderr, words
    assert cli("vm", "list", STILLFRAME_KEY="wrong").returncode == 5
    assert cli("vm", "list", STILLFRAME_URL="http://127.0.0.1:9").returncode == 1
    assert len(site.client.jobs(vm=guest.name)["items"]) == before


def test_a_job_that_fails_is_waited_for_and_told(site: Site, cli: Cli, witness: Made) -> None:
    """A snapshot that must be quiesced on a guest without an agent fails: exit code 1, the reason, and nothing changed."""
    vm = witness(agent=False)
    said = cli("snapshot", "create", vm.name, "--quiesce", "require", "--wait")
    assert said.returncode == 1, (said.stdout, said.stderr)
    assert "agent" in said.stdout + said.stderr
    (job,) = site.client.jobs(vm=vm.name)["items"]
    assert (job["state"], given(job["error"])["code"]) == ("failed", "vm.agent_unresponsive")
    assert site.client.snapshot(given(job["snapshot_id"]))["state"] == "error"
    vm.runs_bare()
    vm.is_tidy()
