"""How a VM was found after its job got stuck: for the person who has to decide. What cannot be told says why."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from hypervisor.port import VmFacts
from stillframe.errors import StillframeError
from stillframe.rules import ALIVE
from workers.reading import usable
from workers.steps import Work


def evidence(work: Work) -> dict[str, Any]:
    """State and reason, whether the guest is frozen, and of each volume the chain and the block job."""
    facts = _told(work.vm.facts)
    if not isinstance(facts, VmFacts):
        return {"vm": facts}
    on = facts.state in ALIVE
    return {
        "vm": {"state": facts.state.value, "reason": facts.reason},
        "frozen": _told(work.vm.is_frozen) if on else False,
        "volumes": {
            volume.target: {
                "path": volume.path,
                "chain": _told(partial(_chain, work, volume.target)),
                "block_job": _told(partial(_block_job, work, volume.target)) if on else None,
            }
            for volume in usable(facts)
        },
    }


def _chain(work: Work, target: str) -> list[str]:
    return list(work.vm.live_chain(target))


def _block_job(work: Work, target: str) -> dict[str, Any] | None:
    job = work.vm.block_job(target)
    return asdict(job) if job else None


def _told(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (StillframeError, OSError) as error:
        return f"not known: {error}"
