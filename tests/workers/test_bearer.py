"""The note of who has a VM in hand, and what is done about one who does not let go."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from stillframe.errors import VmHeld
from workers import identity
from workers.bearer import Bearer
from workers.hold import hold

VM = UUID(int=7)
HOLDER = """
import sys
from uuid import UUID
from workers import identity
from workers.bearer import Bearer
from workers.hold import hold
me = identity.own("here")
for job in ("first", "second"):
    with hold(sys.argv[1] + job, UUID(int=7), "vm", 5, Bearer(me, job, 1)):
        print(me, flush=True)
        sys.stdin.readline()
"""


@dataclass
class Holder:
    """Another process: it holds the VM for the job "first", and once it is told to, another VM for the job "second"."""

    process: subprocess.Popen[str]
    folder: str
    name: str = ""

    def says(self) -> str:
        """It has a VM in hand, and says its name."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def goes_on(self) -> None:
        """It is told to let go of its VM."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    @property
    def lives(self) -> bool:
        """Whether nobody has killed it."""
        return identity.is_alive(self.name)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    """It holds the VM."""
    root = Path(__file__).resolve().parents[2]
    asked = [sys.executable, "-c", HOLDER, f"{tmp_path}/"]
    with subprocess.Popen(
        asked, cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        holder = Holder(process, f"{tmp_path}/first")
        holder.name = holder.says()
        yield holder
        process.kill()


def bearer(job: str = "first", attempt: int = 2) -> Bearer:
    """This process, for an attempt at a job."""
    return Bearer(identity.own("here"), job, attempt)


def test_one_who_does_not_let_go_is_waited_for_and_then_left(holder: Holder) -> None:
    """Who comes without a job has fenced nobody: the VM stays held, and its holder alive."""
    began = time.monotonic()
    with pytest.raises(VmHeld), hold(holder.folder, VM, "vm", 0.3):
        pass
    assert time.monotonic() - began >= 0.3
    assert holder.lives


def test_one_who_was_fenced_and_hangs_is_killed(holder: Holder) -> None:
    """For a later attempt at the same job, however many came between: the holder is dead and the VM is held."""
    with hold(holder.folder, VM, "vm", 0.3, bearer(attempt=5)):
        assert not holder.lives


@pytest.mark.parametrize("by", [bearer("another", 9), bearer("first", 1)])
def test_one_who_was_not_fenced_is_not_killed(holder: Holder, by: Bearer) -> None:
    """It holds the VM for another job, or for an attempt that is no earlier than that of who waits."""
    with pytest.raises(VmHeld), hold(holder.folder, VM, "vm", 0.3, by):
        pass
    assert holder.lives


def test_one_who_has_left_is_not_killed(holder: Holder) -> None:
    """It carries another job by now, and somebody without a job has the VM in hand: that one is waited for."""
    holder.goes_on()
    assert holder.says() == holder.name
    with (
        hold(holder.folder, VM, "vm", 5),
        pytest.raises(VmHeld),
        hold(holder.folder, VM, "vm", 0.3, bearer()),
    ):
        pass
    assert holder.lives


def test_one_who_is_about_to_be_killed_does_not_leave(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the look at who it is to its end it cannot take up another job, be there ever so much time between."""
    real = identity.end

    def slowly(name: str) -> bool:
        holder.goes_on()
        time.sleep(0.5)
        return real(name)

    monkeypatch.setattr(identity, "end", slowly)
    with hold(holder.folder, VM, "vm", 0.3, bearer()):
        assert not holder.lives
    assert holder.says() == "", "it had another VM in hand when it was killed"


def test_a_note_that_was_cut_short_names_nobody(holder: Holder) -> None:
    """Who died while it wrote has left half of it."""
    note = Path(holder.folder, f"{VM}.holder")
    note.write_text(note.read_text()[:-9])
    with pytest.raises(VmHeld), hold(holder.folder, VM, "vm", 0.3, bearer()):
        pass
    assert holder.lives


def test_nobody_is_killed_who_is_not_the_one(holder: Holder) -> None:
    """A name whose process has ended, one of another host's boot, one nobody understands, and oneself: none is touched."""
    host, boot, pid, began = holder.name.rsplit("/", 3)
    for name in (
        f"{host}/{boot}/{pid}/{int(began) + 1}",
        f"{host}/another-boot/{pid}/{began}",
        f"{host}/{boot}/{2**22 + 1}/{began}",
        "h1/worker",
        identity.own("here"),
    ):
        assert not identity.end(name), name
    assert holder.lives
