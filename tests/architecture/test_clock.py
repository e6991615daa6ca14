"""The machine's clock may be stepped: what is decided by time is decided by the database's clock, or by one that only counts."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("stillframe", "models", "tasks", "workers", "hypervisor", "web")
#: Reading the wall clock, in whatever way it is spelled.
CLOCKS = {
    ("time", "time"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
#: Where it is read all the same, and why a step of an hour does no harm there.
HARMLESS = {
    "hypervisor/libvirt_vm.py": "the time that a restored guest's clock is set to",
    "tasks/webhooks.py": "the time of a signature, which its receiver compares with its own clock",
    "tasks/preflight.py": "made-up names, and whether a wished expiry lies ahead",
    "workers/operations/extract_volume.py": "the time at which a copy was made, beside the copy",
    "workers/watch_folder.py": "the time in an event, for people",
    "hypervisor/fake_foreign.py": "the time of a snapshot that a test makes",
}


def reads_of_the_clock(path: Path) -> list[str]:
    """Every place in a file where the wall clock is read."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (node.value.id, node.attr) in CLOCKS
        ):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_a_step_of_the_clock_decides_nothing() -> None:
    """Leases, deadlines and waits are on Postgres' clock or a monotonic one; the few reads of the wall clock are for words."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    reads = [read for path in paths for read in reads_of_the_clock(path)]
    assert [read for read in reads if read.split(":")[0] not in HARMLESS] == []
    assert {read.split(":")[0] for read in reads} == set(HARMLESS), "an excuse that is not needed any more"
