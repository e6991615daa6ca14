"""What libvirtd notes of a VM in the instant in which a merge ends, before it notes what came of it."""

import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from hypervisor.status_file import main, mend, mend_all
from hypervisor.xml import parse


def source(path: str, node: int, more: str = "") -> str:
    """An image as libvirt knows it in QEMU."""
    names = f"<nodename type='storage' name='n{node}-s'/><nodename type='format' name='n{node}-f'/>"
    return f"<source file='{path}'{more}><privateData><nodenames>{names}</nodenames></privateData></source>"


def note(job: str = "active-commit", ended: str = "completed", top: int = 3, base: int = 1) -> str:
    """As libvirt writes it, with what has nothing to do with it left out: node 3 stands on 2, and that on 1."""
    mirror = "<mirror type='block' job=''><format type='raw'/><source file='/i/base.img' index='1'/></mirror>"
    return f"""<!-- made by libvirt -->
<domstatus state='running' pid='29'>
  <devices><device alias='virtio-disk0'/></devices>
  <blockjobs active='yes'>
    <blockjob name='commit-vda' type='{job}' state='running' newstate='{ended}'>
      <disk dst='vda'/><base node='n{base}-f'/><top node='n{top}-f'/>
    </blockjob>
  </blockjobs>
  <domain type='qemu' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
    <metadata><other:note xmlns:other='urn:other'>kept</other:note></metadata>
    <devices>
      <disk type='file' device='disk'>
        <driver name='qemu' type='qcow2'/>
        {source("/i/top.qcow2", 3, " index='3'")}
        <backingStore type='file' index='2'><format type='qcow2'/>{source("/i/middle.qcow2", 2)}
          <backingStore type='block' index='1'><format type='raw'/>{source("/i/base.img", 1)}<backingStore/></backingStore>
        </backingStore>
        {mirror if job == "active-commit" else ""}
        <target dev='vda' bus='virtio'/>
      </disk>
      <disk type='file' device='disk'>
        <driver name='qemu' type='qcow2'/><source file='/i/other.qcow2' index='4'/><backingStore/>
        <target dev='vdb' bus='virtio'/>
      </disk>
    </devices>
    <qemu:commandline><qemu:arg value='-nodefaults'/></qemu:commandline>
  </domain>
</domstatus>
"""


def disk(text: str, target: str = "vda") -> Any:
    """One disk of a note."""
    found: list[Element] = [
        one
        for one in parse(text).iterfind("domain/devices/disk")
        if one.find(f"target[@dev='{target}']") is not None
    ]
    return found[0]


def written_to(text: str, target: str = "vda") -> tuple[str, ...]:
    """Kind, format, path and index of what a disk writes to."""
    one = disk(text, target)
    source = one.find("source")
    return one.get("type"), one.find("driver").get("type"), source.get("file"), source.get("index")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """libvirt's, with one note that it cannot read and one that it can."""
    (tmp_path / "driver.pid").write_text("29")
    (tmp_path / "vm1.xml").write_text(note())
    (tmp_path / "vm2.xml").write_text(note(ended="concluded"))
    return tmp_path


def test_after_a_pivot_the_disk_writes_to_the_base() -> None:
    """With its kind, format and node names, and what is below it; the mirror and the job are gone."""
    mended, text = mend(note())
    assert mended == ["vda"]
    assert written_to(text) == ("block", "raw", "/i/base.img", "1")
    one = disk(text)
    assert one.find("source/privateData/nodenames/nodename[@type='format']").get("name") == "n1-f"
    assert one.find("mirror") is None
    assert list(one.find("backingStore")) == []
    assert not one.find("backingStore").attrib
    jobs = parse(text).find("blockjobs")
    assert jobs is not None
    assert (len(jobs), jobs.get("active")) == (0, "no")


def test_after_a_merge_in_the_middle_what_stood_on_the_top_stands_on_the_base() -> None:
    """The disk goes on writing to its own image, and nothing that was merged is named any more."""
    mended, text = mend(note(job="commit", top=2, base=1))
    assert mended == ["vda"]
    assert written_to(text) == ("file", "qcow2", "/i/top.qcow2", "3")
    below = disk(text).find("backingStore")
    assert (below.get("type"), below.get("index")) == ("block", "1")
    assert below.find("source").get("file") == "/i/base.img"
    assert "/i/middle.qcow2" not in text


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_after_a_merge_in_the_middle_that_failed_the_chain_is_what_it_was(ended: str) -> None:
    """Only the job is gone."""
    mended, text = mend(note(job="commit", ended=ended, top=2, base=1))
    assert mended == ["vda"]
    assert disk(text).find("backingStore/source").get("file") == "/i/middle.qcow2"
    assert disk(text).find("backingStore/backingStore/source").get("file") == "/i/base.img"
    assert "blockjob " not in text


def test_all_else_stays_as_it_was() -> None:
    """The other disk, what QEMU is given on its command line, and what other programs noted."""
    _, text = mend(note())
    assert written_to(text, "vdb") == ("file", "qcow2", "/i/other.qcow2", "4")
    root = parse(text)
    assert root.findtext("domain/metadata/{urn:other}note") == "kept"
    line = "domain/{http://libvirt.org/schemas/domain/qemu/1.0}commandline"
    assert len(root.findall(f"{line}/*")) == 1


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_after_a_merge_that_was_called_off_the_disk_writes_to_the_top(ended: str) -> None:
    """Only the mirror and the job are gone."""
    mended, text = mend(note(ended=ended))
    assert mended == ["vda"]
    assert written_to(text) == ("file", "qcow2", "/i/top.qcow2", "3")
    assert disk(text).find("backingStore").get("index") == "2"
    assert disk(text).find("mirror") is None


def test_a_note_with_which_libvirt_goes_on_by_itself_is_not_touched() -> None:
    """Not by a letter: QEMU still has a job that is only concluded."""
    good = note(ended="concluded")
    assert mend(good) == ([], good)


@pytest.mark.parametrize(
    "unknown",
    [note(job="copy"), note(base=7), note().replace("dst='vda'", "dst='vdz'"), "<domain newstate="],
    ids=["somebody else's job", "no such image", "no such disk", "not whole"],
)
def test_what_it_cannot_know_is_left_as_it_is(
    folder: Path, unknown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so, and mends the others."""
    (folder / "vm0.xml").write_text(unknown)
    assert main(folder) == 0
    assert (folder / "vm0.xml").read_text() == unknown
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("vm0.xml: left as it is: ")
    assert second == "vm1.xml: the end of a block job on vda was noted"


def test_a_folder_is_mended_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The note is for root only, like before, and asked again there is nothing to do."""
    good = (folder / "vm2.xml").read_text()
    assert main(folder) == 0
    assert written_to((folder / "vm1.xml").read_text()) == ("block", "raw", "/i/base.img", "1")
    assert (folder / "vm1.xml").stat().st_mode & 0o777 == 0o600
    assert (folder / "vm2.xml").read_text() == good
    assert sorted(path.name for path in folder.iterdir()) == ["driver.pid", "vm1.xml", "vm2.xml"]
    capsys.readouterr()
    assert main(folder) == 0
    assert capsys.readouterr().out == ""


def test_nothing_is_mended_behind_the_back_of_a_libvirtd_that_runs(folder: Path) -> None:
    """It holds its lock; the notes are its own."""
    before = (folder / "vm1.xml").read_text()
    with open(folder / "driver.pid", "r+") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        # Of another process: the kernel grants each what it has already.
        command = [sys.executable, "-m", "hypervisor.status_file", str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, "stop it first" in done.stderr) == (1, True)
    assert (folder / "vm1.xml").read_text() == before


def test_no_libvirtd_starts_meanwhile(folder: Path) -> None:
    """Also where the one before was stopped as it should be, and has removed the file of its lock."""
    (folder / "driver.pid").unlink()
    notes = mend_all(folder)
    next(notes)
    command = [sys.executable, "-m", "hypervisor.status_file", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    notes.close()
    assert (done.returncode, "stop it first" in done.stderr) == (1, True)


def test_without_a_libvirtd_there_is_nothing_to_do(tmp_path: Path) -> None:
    """Neither without its folder nor without anything in it."""
    assert main(tmp_path / "none") == 0
    assert main(tmp_path) == 0
