"""Process 1 of the lab's own world: hides what is the machine's, starts libvirtd, buries the dead.

Run as a script inside fresh mount and pid namespaces, with the folders `home` and `run`; imports
nothing of this package.  SIGUSR1 starts libvirtd (again).  When this process ends, the kernel kills
everything in the namespace: libvirtd and every QEMU.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

BIND, RECURSIVE = 4096, 16384
LIBC = ctypes.CDLL(None, use_errno=True)

#: All the devices libvirtd and QEMU need.  /dev/kvm is left out on purpose: where it can be opened
#: but not used, libvirtd probes it again around every start and each takes many seconds.
DEVICES = (
    *("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue"),
    *("userfaultfd", "fuse", "net/tun"),
)


def mount(source: str, place: str, kind: str | None = None, flags: int = 0) -> None:
    """Mount, or end with the reason."""
    if LIBC.mount(source.encode(), place.encode(), kind and kind.encode(), flags, b"mode=755"):
        sys.exit(f"cannot mount {source} on {place}: {os.strerror(ctypes.get_errno())}")


def bind(source: str, place: str) -> None:
    """Show `source` at `place`, too."""
    if LIBC.mount(source.encode(), place.encode(), None, BIND | RECURSIVE, None):
        sys.exit(f"cannot bind {source} on {place}: {os.strerror(ctypes.get_errno())}")


def small_dev(run: Path) -> None:
    """Put a /dev with only DEVICES over the machine's."""
    small = run / "dev"
    small.mkdir(exist_ok=True)
    mount("dev", str(small), "tmpfs")
    for name in DEVICES:
        device, place = Path("/dev", name), small / name
        if not device.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if device.is_dir():
            place.mkdir()
        else:
            place.touch()
        bind(str(device), str(place))
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1")):
        (small / name).symlink_to(target)
    bind(str(small), "/dev")


def private_world(home: Path, run: Path) -> None:
    """Cover everything through which libvirtd would meet the machine's own libvirt, or systemd."""
    small_dev(run)
    for name, place in (
        ("etc", "/etc/libvirt"),
        ("lib", "/var/lib/libvirt"),
        ("cache", "/var/cache/libvirt"),
        ("log", "/var/log/libvirt"),
    ):
        Path(place).mkdir(parents=True, exist_ok=True)
        bind(str(home / "libvirt" / name), place)
    kept = os.open(run, os.O_PATH)  # about to be covered
    mount("run", "/run", "tmpfs")  # no D-Bus in it, so no systemd-machined is asked
    for place, source in ((str(run), ""), ("/run/libvirt", "/libvirt"), ("/run/lock", "/lock")):
        Path(place).mkdir(parents=True, exist_ok=True)
        bind(f"/proc/self/fd/{kept}{source}", place)
    os.close(kept)


def start_libvirtd() -> None:
    """Start the daemon with every signal at its default; it is our child."""
    os.posix_spawnp("libvirtd", ["libvirtd", "-p", "/run/libvirt/libvirtd.pid"], os.environ, setsigmask=[])


def bury() -> None:
    """Ask for every child that has ended; QEMUs come to us when libvirtd dies."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> None:
    """Make the world, start the daemon, then wait for signals for ever."""
    home, run = Path(sys.argv[1]), Path(sys.argv[2])
    awaited = {signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    private_world(home, run)
    start_libvirtd()
    while True:
        sign = signal.sigwait(awaited)
        if sign == signal.SIGTERM:
            return
        if sign == signal.SIGUSR1:
            start_libvirtd()
        bury()


if __name__ == "__main__":
    main()
