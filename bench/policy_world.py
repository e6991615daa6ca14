"""A database with many policies: each hourly, for one VM of its own or shared, and none of them due."""

from __future__ import annotations

import json
from uuid import UUID

from sqlalchemy import Engine, select, text

from lab.lab import Lab
from models.session import make_engine, transaction
from models.tenants.tables import ADMIN_ACCOUNT
from models.upgrade import upgrade
from models.vms.tables import Vm
from stillframe.policies.as_json import policy_from_json, policy_to_json

HOSTS = 100
VMS = 10_000

#: No cap holds anything back: what is measured is the way, not the waiting.
SPEC = policy_to_json(
    policy_from_json(
        {
            "name": "bench",
            "selector": {"names": ["vm"]},
            "schedules": [{"every": "1h"}],
            "retention": {"last": 3, "daily": 7},
            "guards": {"max_per_host": 1000, "max_per_storage": 1000},
        }
    )
)

_HOSTS = """
    INSERT INTO host (id, name, last_seen_at)
    SELECT ('00000000-0000-7000-8000-1' || lpad(n::text, 11, '0'))::uuid, 'hv' || n, now()
    FROM generate_series(0, :hosts - 1) AS n
"""
_VMS = """
    INSERT INTO vm (id, host_id, name, state, traits)
    SELECT ('00000000-0000-7000-8000-2' || lpad(n::text, 11, '0'))::uuid,
        ('00000000-0000-7000-8000-1' || lpad((n % :hosts)::text, 11, '0'))::uuid, 'vm' || n, 'running', '{}'
    FROM generate_series(0, :vms - 1) AS n
"""
_VOLUMES = """
    INSERT INTO volume (vm_id, target, path, format, storage, virtual_bytes, size_bytes, depth, home, free_bytes)
    SELECT id, 'vda', '/images/' || name, 'qcow2', 'file', 1 << 30, 1 << 20, 1, '/images', 1::bigint << 40 FROM vm
"""
_POLICIES = """
    INSERT INTO policy (id, account_id, name, spec, created_by, of_ids)
    SELECT ('00000000-0000-7000-8000-3' || lpad(n::text, 11, '0'))::uuid, :account, 'policy-' || n,
        CAST(:spec AS jsonb) || jsonb_build_object('name', 'policy-' || n), 'bench',
        ARRAY[('00000000-0000-7000-8000-2' || lpad((n % :vms)::text, 11, '0'))::uuid]
    FROM generate_series(0, :policies - 1) AS n
"""
_SCHEDULES = """
    INSERT INTO policy_schedule (id, policy_id, spec, mark, next_at)
    SELECT policy.id, policy.id, CAST(:spec AS jsonb), now(), now() + interval '2 hours' FROM policy
"""
#: One instant of each hour lies between the mark and now; which of them are due is told by their ids.
_DUE = """
    UPDATE policy_schedule SET mark = now() - interval '1 hour', next_at = now() - interval '1 second'
    WHERE id < ('00000000-0000-7000-8000-3' || lpad(CAST(:due AS text), 11, '0'))::uuid
"""
_CLEAN = """
    TRUNCATE firing, policy_vm, job, step, event, snapshot CASCADE;
    UPDATE policy_schedule SET mark = now(), next_at = now() + interval '2 hours' WHERE next_at < now() + interval '90 min';
    UPDATE host SET last_seen_at = now();
"""


def make_policies(lab: Lab, policies: int) -> Engine:
    """A database of its own with so many policies; made anew."""
    name = f"policies_{policies}"
    lab.drop_database(name)
    engine = make_engine(lab.create_database(name), statement_timeout_s=0)
    upgrade(engine)
    numbers = {"hosts": HOSTS, "vms": VMS, "policies": policies, "account": ADMIN_ACCOUNT}
    with transaction(engine) as session:
        for statement, spec in (
            *((_HOSTS, None), (_VMS, None), (_VOLUMES, None)),
            *((_POLICIES, SPEC), (_SCHEDULES, SPEC["schedules"][0])),
        ):
            session.execute(text(statement), numbers | {"spec": json.dumps(spec)})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return engine


def make_due(engine: Engine, due: int) -> None:
    """So many policies are due, each for a VM of its own."""
    with transaction(engine) as session:
        session.execute(text(_DUE), {"due": due})


def clean(engine: Engine) -> None:
    """Nothing was ever fired, and nothing is due."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(_CLEAN)
        connection.exec_driver_sql("VACUUM ANALYZE policy_schedule, firing, job")


def some_vms(engine: Engine, count: int) -> list[UUID]:
    """The first of its VMs."""
    with transaction(engine) as session:
        return list(session.scalars(select(Vm.id).order_by(Vm.id).limit(count)))
