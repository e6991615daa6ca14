"""A job that can go neither forward nor back, and the ways out of it, by the command line."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.command import Cli
from tests.journeys.site import Json, Site
from tests.journeys.witness import Mark, Shot, Witness

Made = Callable[..., Witness]


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """A file that even root cannot open for writing, within the block."""
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


class Stuck:
    """A VM that is off, and the deletion of its snapshot, stuck since the image below cannot be written to."""

    def __init__(self, site: Site, vm: Witness) -> None:
        self.site = site
        self.vm = vm
        self.shot: Shot = vm.take("hot")
        vm.write()
        self.mark: Mark = vm.power_off()
        (volume,) = site.client.snapshot(self.shot.id)["volumes"]
        self.base = Path(volume["layer"])
        (self.head,) = vm.guest.disks.values()
        with unwritable(self.base):
            self.job: Json = site.client.delete_snapshot(self.shot.id)
            assert site.wait(self.job)["state"] == "stuck", site.story(self.job)

    def merge_by_hand(self) -> None:
        """What the job was to do, done by a person with the usual tools."""
        subprocess.run(["qemu-img", "commit", "-q", "-f", "qcow2", self.head], check=True)
        domain = self.vm.guest.domain
        domain.connect().defineXML(domain.XMLDesc(2).replace(str(self.head), str(self.base)))
        self.head.unlink()

    def is_over(self) -> None:
        """The guest has its newest data, and there is nothing that nobody needs."""
        self.vm.is_tidy()
        self.vm.guest.start()
        self.vm.runs(self.mark.digest)


@pytest.fixture
def stuck(site: Site, witness: Made) -> Stuck:
    return Stuck(site, witness())


def test_inspected_and_resumed(site: Site, cli: Cli, stuck: Stuck) -> None:
    """It says what is in the way, and keeps its VM; with that gone it is resumed, ends well, and the line goes on."""
    job = stuck.job["id"]
    later = stuck.vm.ask("cold", name="later")
    said = cli("job", "recover", job)
    assert said.returncode == 0, said.stderr
    for words in ("Operation not permitted", "not passed", "--resume: open", str(stuck.head)):
        assert words in said.stdout, words
    found = site.job(stuck.job)["error"]["evidence"]["found"]
    assert found["vm"]["state"] == "off"
    assert found["volumes"]["vda"]["chain"] == [str(stuck.head), str(stuck.base)]
    assert cli("job", "cancel", job).returncode == 5
    assert site.job(later)["state"] == "queued"
    said = cli("job", "recover", job, "--resume", "--yes", "--note", "it may be written to again", "--wait")
    assert said.returncode == 0, said.stderr
    (event,) = site.client.events(job=job, type="job.recovered")["items"]
    assert (event["message"], event["data"]["action"]) == ("it may be written to again", "resume")
    assert site.client.snapshot(stuck.shot.id)["state"] == "deleted"
    stuck.vm.holds(stuck.vm.ready(later, stuck.mark))
    stuck.is_over()


def test_put_right_by_hand_and_closed(site: Site, cli: Cli, stuck: Stuck) -> None:
    """What a person has done is found on the host: the job has succeeded, and the snapshot is deleted."""
    stuck.merge_by_hand()
    said = cli("job", "recover", stuck.job["id"], "--mark-done", "--yes", "--wait")
    assert said.returncode == 0, said.stderr
    assert site.client.snapshot(stuck.shot.id)["state"] == "deleted"
    stuck.is_over()


@pytest.mark.slow
def test_walked_back(site: Site, cli: Cli, stuck: Stuck) -> None:
    """A merge that has not written anything yet is stopped: the job has failed, and can be asked for again."""
    said = cli("job", "recover", stuck.job["id"], "--rollback", "--yes", "--wait")
    assert said.returncode == 1
    assert "Operation not permitted" in said.stderr
    assert site.client.snapshot(stuck.shot.id)["state"] == "error"
    assert cli("job", "retry", stuck.job["id"], "--wait").returncode == 0
    stuck.is_over()


@pytest.mark.slow
def test_closed_though_nothing_was_put_right(site: Site, cli: Cli, stuck: Stuck) -> None:
    """What is not there is not said to be: the job has failed, names what is left, and can be asked for again."""
    said = cli("job", "recover", stuck.job["id"], "--mark-done", "--yes", "--wait")
    assert said.returncode == 1
    assert f"{stuck.head} is still to be merged or removed" in said.stderr
    assert site.client.snapshot(stuck.shot.id)["state"] == "error"
    assert cli("job", "retry", stuck.job["id"], "--wait").returncode == 0
    assert site.client.snapshot(stuck.shot.id)["state"] == "deleted"
    stuck.is_over()
