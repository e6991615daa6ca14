"""The lab's own hypervisor: a libvirtd in namespaces of its own, and the QEMUs it starts."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.build import default_cache
from lab.daemon import Daemon, children, end_leftovers, everybody, program, wait_gone
from lab.errors import LabError
from lab.places import Places

_ROOT = Path(__file__).resolve().parent.parent
_LIBVIRTD = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
host_uuid = "{host_uuid}"
log_level = 3
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

# The serial log is written by QEMU itself, for virtlogd would turn it over at 2 MiB.
_QEMU = """\
namespaces = []
cgroup_controllers = []
security_driver = "none"
stdio_handler = "file"
"""


class Machine:
    """A hypervisor nobody else shares, as tests want it: it can be killed at any moment."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.socket = places.run / "libvirt" / "libvirt-sock"
        self._link: tuple[int, Any] | None = None

    @property
    def folder(self) -> Path:
        """What libvirtd knows: definitions, caches, logs."""
        return self.places.home / "libvirt"

    @property
    def daemon(self) -> Daemon:
        """The process that holds the namespaces: unshare, whose only child is process 1 inside."""
        return self.places.daemon("libvirt")

    @property
    def uri(self) -> str:
        """The address to give libvirt."""
        return f"qemu+unix:///system?socket={self.socket}"

    def start(self) -> None:
        """Make the namespaces with process 1 and libvirtd in them, and wait for its answer."""
        if self.daemon.pid is not None:
            if self.libvirtd_pid() is None:
                self.start_libvirtd()
            return
        if os.geteuid() != 0:
            raise LabError("a private libvirtd needs root, for its namespaces")
        end_leftovers("unshare", self.places.home)
        for name in ("etc", "lib", "lib/qemu", "cache", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("libvirt", "lock"):
            (self.places.run / name).mkdir(exist_ok=True)
        etc = self.folder / "etc"
        identity = self.places.settings().host_uuid
        (etc / "libvirtd.conf").write_text(_LIBVIRTD.format(host_uuid=identity))
        (etc / "qemu.conf").write_text(_QEMU)
        _copy_all(_known_capabilities(), self._capabilities)
        _forget_labels(self.places.home)
        self.daemon.start(
            [
                *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--"),
                *(sys.executable, "-I", "-S", str(Path(__file__).with_name("pid1.py"))),
                *(str(self.places.home), str(self.places.run)),
            ]
        )
        self.daemon.wait_until(self._answers, timeout_s=60)

    def stop(self) -> None:
        """End the namespace and all in it: a power cut for every guest."""
        self._link = None
        left = self.members()
        init = self._init()
        if init is not None:
            os.kill(init, signal.SIGKILL)
        self.daemon.end(signal.SIGTERM)
        end_leftovers("unshare", self.places.home)
        wait_gone(left)

    def kill_libvirtd(self) -> None:
        """SIGKILL libvirtd alone; the QEMUs run on without it."""
        pid = self.libvirtd_pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            wait_gone([pid])

    def start_libvirtd(self) -> None:
        """Start libvirtd again and wait for its answer; it finds the QEMUs that run."""
        init = self._init()
        if init is None:
            raise LabError("the lab's libvirt is not up; start the lab first")
        if self.libvirtd_pid() is None:
            self._mend_notes()
            os.kill(init, signal.SIGUSR1)
        self.daemon.wait_until(self._answers, timeout_s=60)

    def _mend_notes(self) -> None:
        """What a hypervisor's systemd does before libvirtd, by the drop-in in deploy/systemd."""
        notes = self.places.run / "libvirt" / "qemu"
        subprocess.run([sys.executable, "-m", "hypervisor.status_file", notes], check=True, cwd=_ROOT)

    def libvirtd_pid(self) -> int | None:
        """The pid of libvirtd as seen from outside; None while it is down."""
        init = self._init()
        for pid in children(init) if init else []:
            if program(pid) == "libvirtd":
                return pid
        return None

    def members(self) -> list[int]:
        """The pids, as seen from outside, of everything in the namespace."""
        init = self._init()
        if init is None:
            return []
        inside = _namespace(init)
        return [pid for pid in everybody() if inside and _namespace(pid) == inside]

    def connection(self) -> Any:
        """A libvirt connection of this process: one a pid, made anew after a lost daemon.

        It is never handed over a fork: the child's use would break the parent's.
        """
        libvirt = _libvirt()
        if self._link and self._link[0] == os.getpid():
            with suppress(libvirt.libvirtError):
                self._link[1].getLibVersion()  # isAlive() learns of a death only by a call
                return self._link[1]
        self._link = (os.getpid(), libvirt.open(self.uri))
        return self._link[1]

    def lend_capabilities(self) -> None:
        """Let other labs have what libvirtd found out about this QEMU: it takes seconds to find."""
        _copy_all(self._capabilities, _known_capabilities())

    @property
    def _capabilities(self) -> Path:
        return self.folder / "cache" / "qemu" / "capabilities"

    def _answers(self) -> bool:
        """The socket takes callers before the drivers are ready; open() returns when they are."""
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.socket)):
                return False
        try:
            self.connection()
        except _libvirt().libvirtError:
            return False
        return True

    def _init(self) -> int | None:
        """Process 1 of the namespace: the only child of unshare."""
        outer = self.daemon.pid
        inner = children(outer) if outer else []
        return inner[0] if inner else None


def _forget_labels(folder: Path) -> None:
    """Takes off libvirt's notes of who uses a file: after a power cut nobody does.

    libvirt itself believes only notes made since the machine was booted, and the machine of a lab never is.
    """
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            for note in os.listxattr(path):
                if note.startswith("trusted.libvirt."):
                    os.removexattr(path, note)


def _libvirt() -> Any:
    """Import libvirt-python late: the lab's Postgres and Redis do without it."""
    module = importlib.import_module("libvirt")
    module.registerErrorHandler(lambda _context, _error: None, None)  # raised is enough
    return module


def _known_capabilities() -> Path:
    """Shared by all labs; libvirtd checks each file against the QEMU it finds and may refuse it."""
    return default_cache() / "qemu-capabilities"


def _copy_all(source: Path, target: Path) -> None:
    for path in source.glob("*.xml"):
        copy = target / path.name
        if copy.exists() and copy.read_bytes() == path.read_bytes():
            continue
        target.mkdir(parents=True, exist_ok=True)
        fresh = target / f"{path.name}.{os.getpid()}"
        shutil.copyfile(path, fresh)
        fresh.replace(copy)


def _namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None
