"""The plan of a new snapshot."""

from typing import Any

import pytest

from stillframe.errors import HostDraining
from stillframe.operations import CreateSnapshot
from stillframe.planning import Forecast, Limits, plan_create
from stillframe.planning.known import VmKnown
from stillframe.states import VmState
from tests.stillframe.planning.some import GIB, MIB, vm, volume


def plan(known: VmKnown, type_: Any = "hot", taken: bool = False, **words: Any) -> Forecast:
    return plan_create(CreateSnapshot(vm="web1", type=type_, **words), known, Limits(8, 24), name_taken=taken)


def refusals(made: Forecast) -> list[tuple[str, str]]:
    return [(when, error.code) for when, error in made.refusals]


def warnings(made: Forecast) -> set[str]:
    return {warning.code for warning in made.warnings}


def test_a_plain_vm_has_nothing_against_it() -> None:
    """No refusal, no warning, a small need, no pause; what is kept is said."""
    made = plan(vm())
    assert made.allowed
    assert (made.refusals, made.warnings) == ((), ())
    assert 0 < made.bytes.needed < MIB
    assert made.pause.kind == "none"
    assert "vda" in made.consequences[0].detail


@pytest.mark.parametrize(
    ("said", "type_", "refused"),
    [
        ({"persistent": False}, "hot", ("request", "vm.transient")),
        ({"volumes": (volume(depth=24),)}, "hot", ("request", "vm.chain_too_deep")),
        ({"host_devices": ("PCI device",)}, "memory", ("request", "vm.passthrough")),
        ({"state": VmState.OFF}, "memory", ("request", "snapshot.memory_needs_running")),
        ({"state": VmState.OFF}, "hot", ("request", "snapshot.hot_needs_running")),
        ({}, "cold", ("request", "snapshot.cold_needs_stopped")),
        ({"managed_save": True, "state": VmState.OFF}, "cold", ("job", "vm.managed_save")),
        ({"internal_snapshots": ("old",)}, "hot", ("job", "vm.foreign_internal_snapshots")),
        ({"drained": HostDraining(host="hv1", by="kim", reason="new memory")}, "hot", ("request", "host.draining")),
        ({"foreign_snapshots": ("theirs",)}, "hot", ("job", "vm.foreign_snapshots")),
        ({"volumes": (volume(why_not="it is shared with other VMs"),)}, "hot", ("job", "vm.no_usable_volume")),
        ({"volumes": ()}, "hot", ("job", "vm.no_usable_volume")),
        ({"volumes": (volume(free_bytes=64 * MIB - 1),)}, "hot", ("job", "storage.not_enough_space")),
        ({"volumes": (volume(free_bytes=4 * GIB),)}, "memory", ("job", "storage.not_enough_space")),
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_a_refusal(said: dict[str, Any], type_: str, refused: tuple[str, str]) -> None:
    """Each by its code, and by whether the request or the job is refused."""
    assert refusals(plan(vm(**said), type_)) == [refused]


@pytest.mark.parametrize(
    ("said", "type_", "code"),
    [
        ({"volumes": (volume(), volume(target="sda", why_not="it is a cdrom"))}, "hot", "vm.volumes_left_out"),
        ({"volumes": (volume(depth=8),)}, "hot", "vm.chain_deep"),
        ({"volumes": (volume(free_bytes=GIB),)}, "hot", "storage.little_left"),
        ({"volumes": (volume(free_bytes=None),)}, "hot", "storage.unknown"),
        ({"tpm": "emulator"}, "hot", "vm.tpm_not_kept"),
        ({"tpm": "external"}, "memory", "vm.tpm_not_kept"),
        ({"outside_devices": ("vhost-user network card",)}, "memory", "vm.devices_outside"),
        ({"agent": None}, "hot", "vm.not_quiesced"),
        ({"activity": "migration_out"}, "hot", "vm.migrating"),
        ({"activity": "backup"}, "hot", "vm.busy"),
        ({"block_jobs": {"vda": "copy"}}, "hot", "vm.busy"),
        ({"unreadable": "no answer"}, "hot", "vm.unreadable"),
        ({"host_is_alive": False}, "hot", "host.silent"),
        ({"ahead": 2}, "hot", "vm.jobs_ahead"),
    ],
)  # fmt: skip
def test_what_is_worth_knowing_is_a_warning(said: dict[str, Any], type_: str, code: str) -> None:
    """None of it refuses, each has a sentence without holes."""
    made = plan(vm(**said), type_)
    assert made.allowed
    assert warnings(made) == {code}
    assert all("{" not in warning.detail for warning in made.warnings)


def test_just_below_a_limit_is_allowed() -> None:
    """The depth below the limit, room for RAM and 5 % of it, the floor of a layer: each is enough."""
    ram = 4 * GIB * 105 // 100 + (200 << 10)
    for known, type_ in (
        (vm(volumes=(volume(depth=23),)), "hot"),
        (vm(volumes=(volume(free_bytes=ram),)), "memory"),
        (vm(volumes=(volume(free_bytes=64 * MIB),)), "hot"),
    ):
        assert plan(known, type_).allowed


def test_a_memory_snapshot_keeps_an_emulated_tpm() -> None:
    """Its state is in the stream of the RAM: no warning, and it is said."""
    made = plan(vm(tpm="emulator", nvram="/n"), "memory")
    assert made.warnings == ()
    assert {"tpm_kept", "nvram_kept"} <= {one.code for one in made.consequences}


def test_pauses_are_told_from_what_was_measured() -> None:
    """Of this VM if there was a memory snapshot before; a paused one and one that is off stand still anyway."""
    assert plan(vm(pauses_ms=(400.0, 100.0)), "memory").pause.expected_ms == (50, 800)
    assert plan(vm(), "memory").pause.kind == "pause"
    assert plan(vm(state=VmState.PAUSED), "memory").pause.kind == "none"
    assert plan(vm(state=VmState.OFF), "cold").pause.kind == "none"
    assert "200" in plan(vm(freezes_ms=(100.0,)), "hot").pause.why


def test_quiesce_decides_whether_an_agent_matters() -> None:
    """Required, its absence refuses; unwanted, it is no matter; a memory snapshot freezes nothing."""
    silent = vm(agent="disconnected")
    assert refusals(plan(silent, quiesce="require")) == [("job", "vm.agent_unresponsive")]
    assert plan(silent, quiesce="never").warnings == ()
    assert plan(silent, "memory").warnings == ()


def test_a_name_that_is_taken_is_refused_at_once() -> None:
    """As the request would be."""
    assert refusals(plan(vm(), taken=True, name="s1")) == [("request", "snapshot.name_taken")]


def test_without_a_type_it_is_what_fits() -> None:
    """The words of the steps are those of a hot snapshot of a VM that runs, of a cold one when it is off."""
    running = dict(plan(vm(), None).steps)["cut"]
    off = dict(plan(vm(state=VmState.OFF), None).steps)["cut"]
    assert running != off
    assert plan(vm(state=VmState.OFF), None).allowed
