"""Whom policies mean is found by indexes: a thousand policies do not read all VMs a thousand times."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from models.policies.keep import add_policy
from models.policies.resolve import next_vms, vms_in
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.policies.as_json import policy_from_json
from tests.world import World

pytestmark = pytest.mark.postgres

_VMS = """
    INSERT INTO vm (id, host_id, name, state, tags)
    SELECT gen_random_uuid(), :host, 'web' || n, 'running', array['t' || n % 1000] FROM generate_series(1, 8000) AS n
"""
_READ = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'vm'"


def add(engine: Engine, selectors: list[dict[str, Any]]) -> list[UUID]:
    wish = {"schedules": [{"every": "1h"}], "retention": {"last": 3}}
    with transaction(engine) as session:
        return [
            add_policy(session, policy_from_json(wish | {"name": f"p{number}", "selector": selector}), ADMIN)
            for number, selector in enumerate(selectors)
        ]


@pytest.mark.parametrize(
    ("selector", "each"),
    [
        (lambda n: {"names": [f"web{4000 + n}"]}, 1),
        (lambda n: {"names": [f"web{400 + n}*"]}, 11),
        (lambda n: {"names": [f"*b{4000 + n}", f"web{4000 + n}"]}, 1),
        (lambda n: {"tags": [f"t{n}", "none"]}, 8),
    ],
    ids=["name", "beginning", "end", "tag"],
)
def test_names_and_tags_are_looked_up(world: World, engine: Engine, selector: Any, each: int) -> None:
    """Twenty policies over eight thousand VMs: each VM once, and none is read that is not looked for."""
    policies = add(engine, list(map(selector, range(20))))
    with transaction(engine) as session:
        session.execute(text(_VMS), {"host": world.host()})
        session.execute(text("ANALYZE vm"))
    with transaction(engine) as session:
        found = vms_in(session, policies)
        read = session.execute(text(_READ)).scalar_one()
    assert {len(vms) for vms in found.values()} == {each}
    assert {len(set(vms)) for vms in found.values()} == {each}
    assert read < 8000


def test_vms_come_in_parts(world: World, engine: Engine) -> None:
    """So many at a time, behind the last one: together they are all, by every kind of selector."""
    for number in range(9):
        world.vm(f"web{number}")
    with transaction(engine) as session:
        session.execute(text("UPDATE vm SET tags = array['a', 'b']"))
    selectors: list[dict[str, Any]] = [
        {"names": ["web*", "*"]},
        {"tags": ["a", "b"]},
        {"host": "h1"},
        {"domain": "/"},
    ]
    for policy in add(engine, selectors):
        with transaction(engine) as session:
            all_ = vms_in(session, [policy])[policy]
            parts: list[UUID] = []
            while part := next_vms(session, [(policy, parts[-1] if parts else None)], 4)[0]:
                parts += part
        assert len(all_) == 9
        assert parts == all_
