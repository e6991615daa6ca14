"""The files of deploy/ say what the code says."""

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))


def test_env_example_holds_every_setting_with_its_help() -> None:
    """It is what `deploy/print-env` prints of the settings as they are."""
    printed = subprocess.run(
        [sys.executable, DEPLOY / "print-env"], check=True, capture_output=True, text=True
    )
    assert printed.stdout == (DEPLOY / "env.example").read_text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_a_unit(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, once the program is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = unit.read_text().replace("/opt/stillframe/.venv/bin/python", sys.executable)
    copy = tmp_path / unit.name
    copy.write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", copy], check=False, capture_output=True, text=True
    )
    about_it = [line for line in verified.stderr.splitlines() if line.startswith(unit.name)]
    assert about_it == []


def test_the_drop_in_is_one_that_systemd_and_libvirtd_start_with(tmp_path: Path) -> None:
    """Systemd has nothing to say of it, and what it runs before libvirtd runs here, too, and ends well."""
    text = (DEPLOY / "systemd" / "libvirtd-stillframe.conf").read_text()
    (command,) = (line.partition("=-")[2] for line in text.splitlines() if line.startswith("ExecStartPre=-"))
    command = command.replace("/opt/stillframe/.venv/bin/python", sys.executable)
    words = command.replace("/opt/stillframe", str(ROOT)).split()
    assert subprocess.run([*words, tmp_path], check=True, capture_output=True, text=True).stdout == ""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "libvirtd.service"
    unit.write_text(f"[Unit]\nDescription=libvirtd\n{text}\nExecStart=/bin/true\n")
    verified = subprocess.run(
        ["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True
    )
    assert [line for line in verified.stderr.splitlines() if line.startswith(unit.name)] == []


def test_redis_takes_the_users_and_gives_a_host_its_own_queue_only(tmp_path: Path) -> None:
    """Of two hosts whose names begin alike, neither reaches what is the other's."""
    server = shutil.which("redis-server")
    assert server, "redis-server is one of the packages that `make setup` installs"
    hash_ = sha256(b"password").hexdigest()
    names = ("n1", "n10", "control", "flower")
    printed = subprocess.run(
        [sys.executable, DEPLOY / "redis" / "print-acl", *(f"{name}={hash_}" for name in names)],
        check=True,
        capture_output=True,
        text=True,
    )
    (tmp_path / "acl").write_text(printed.stdout)
    socket = tmp_path / "redis"
    with subprocess.Popen(
        [server, "--port", "0", "--unixsocket", socket, "--aclfile", tmp_path / "acl", "--save", ""],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert any("ready to accept connections at" in line for line in process.stdout)
            assert _asked(socket, "host-n1", "LLEN", "host.n1") == "0"
            assert _asked(socket, "host-n1", "LLEN", "host.n10").startswith("NOPERM")
            assert _asked(socket, "host-n1", "HGET", "unacked.n10", "x").startswith("NOPERM")
            assert _asked(socket, "host-n1", "PUBLISH", "/0.celery.pidbox", "x").startswith("NOPERM")
            assert _asked(socket, "control", "LPUSH", "host.n10", "x") == "1"
            assert _asked(socket, "flower", "LLEN", "host.n10") == "1"
            assert _asked(socket, "flower", "DEL", "host.n10").startswith("NOPERM")
        finally:
            process.kill()


def test_print_acl_refuses_a_name_that_would_mean_more_than_itself() -> None:
    """A name becomes part of a key pattern."""
    asked = [sys.executable, str(DEPLOY / "redis" / "print-acl"), f"*={'0' * 64}"]
    refused = subprocess.run(asked, check=False, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, "")


def _asked(socket: Path, user: str, *words: str) -> str:
    done = subprocess.run(
        ["redis-cli", "-s", socket, "--user", user, "-a", "password", "--no-auth-warning", *words],
        check=False,
        capture_output=True,
        text=True,
    )
    return (done.stdout or done.stderr).strip()
