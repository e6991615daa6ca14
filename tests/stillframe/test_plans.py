"""The words of the steps are those of the plans that are carried out."""

import pytest

from stillframe import plans
from stillframe.layers import Merge, Unlink
from stillframe.states import SnapshotType
from workers.operations import FOREIGN_PLANS, PLANS

ACTS = (Unlink("vda", "/i/old"), Merge("vdb", "/i/base", "/i/top", ("/i/between",)))
ITEMS = [
    {"key": "vda:0", "act": "unlink", "target": "vda", "path": "/i/old"},
    {"key": "vdb:1", "act": "merge", "target": "vdb", "base": "/i/base", "format": "qcow2", "top": "/i/top",
     "between": ["/i/between"]},
]  # fmt: skip


@pytest.mark.parametrize("kind", PLANS)
def test_every_step_has_its_words(kind: str) -> None:
    """The table has the steps of each plan in their order, those of the acts of a collection too, each with a sentence."""
    told = dict(plans.steps(kind, ACTS))
    done = [step.name for step in PLANS[kind].steps({"plan_collection": {"acts": ITEMS}})]
    assert list(told) == done
    assert all(words.endswith(".") and "{" not in words for words in told.values())


@pytest.mark.parametrize("kind", FOREIGN_PLANS)
def test_every_step_about_a_foreign_snapshot_has_its_words(kind: str) -> None:
    """As for ours."""
    assert [name for name, _ in plans.foreign_steps(kind)] == [
        step.name for step in FOREIGN_PLANS[kind].steps({})
    ]


def test_no_kind_is_without_words() -> None:
    """A new kind of job has its words on the day it is written."""
    assert set(plans.STEPS) == set(PLANS)
    assert set(plans.FOREIGN_STEPS) == set(FOREIGN_PLANS)


def test_a_cut_is_worded_by_type() -> None:
    """What the instant is like depends on the type of the snapshot."""
    words = {type_: dict(plans.steps("create_snapshot", type_=type_))["cut"] for type_ in SnapshotType}
    assert len(set(words.values())) == len(SnapshotType)
