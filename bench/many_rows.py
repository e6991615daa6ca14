"""A database that has been in use for years: a million snapshots of ten thousand VMs, ten million events."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, text

from models.tenants.tables import ADMIN_ACCOUNT, ROOT_DOMAIN


@dataclass(frozen=True)
class Size:
    """How many rows of each."""

    vms: int = 10_000
    snapshots: int = 1_000_000
    events: int = 10_000_000
    accounts: int = 100


#: Events are added in so many rows a statement.
_AT_ONCE = 1_000_000

_HOSTS = """
    INSERT INTO host (id, name, last_seen_at)
    SELECT gen_random_uuid(), 'hv' || n, now() FROM generate_series(1, 100) AS n
"""
_ACCOUNTS = """
    INSERT INTO account (id, domain_id, name)
    SELECT gen_random_uuid(), :domain, 'tenant-' || n FROM generate_series(1, :accounts) AS n
"""
_VMS = """
    WITH hosts AS (SELECT id, row_number() OVER () - 1 AS place FROM host WHERE name LIKE 'hv%'),
    accounts AS (SELECT id, row_number() OVER () - 1 AS place FROM account WHERE id <> :admin)
    INSERT INTO vm (id, host_id, account_id, name, state)
    SELECT gen_random_uuid(), hosts.id, accounts.id, 'vm-' || left(md5(n::text), 6) || '-' || n, 'running'
    FROM generate_series(1, :vms) AS n
    JOIN hosts ON hosts.place = n % 100
    JOIN accounts ON accounts.place = n % :accounts
"""
_SNAPSHOTS = """
    WITH vms AS (SELECT id, host_id, account_id, row_number() OVER () - 1 AS place FROM vm)
    INSERT INTO snapshot (id, vm_id, host_id, account_id, name, display_name, type, state, created_at, ready_at)
    SELECT gen_random_uuid(), vms.id, vms.host_id, vms.account_id,
        'daily-' || left(md5(n::text), 8) || '-' || n, 'Daily ' || n, 'hot',
        CASE n % 20 WHEN 0 THEN 'error' WHEN 1 THEN 'deleted' ELSE 'ready' END,
        now() - n * interval '37 seconds', now() - n * interval '37 seconds'
    FROM generate_series(1, :snapshots) AS n
    JOIN vms ON vms.place = n % :vms
"""
_LAYERS = """
    INSERT INTO snapshot_layer (snapshot_id, target, path, virtual_bytes)
    SELECT id, 'vda', '/images/' || id || '.qcow2', 1 << 30 FROM snapshot
"""
_EVENTS = """
    WITH chosen AS (
        SELECT id, vm_id, host_id, account_id, row_number() OVER () - 1 AS place
        FROM (SELECT * FROM snapshot LIMIT 100000) AS first
    )
    INSERT INTO event (at, type, actor, vm_id, snapshot_id, host_id, account_id)
    SELECT now() - n * interval '3 seconds', 'snapshot.ready', 'host', chosen.vm_id, chosen.id, chosen.host_id, chosen.account_id
    FROM generate_series(:first, :last) AS n
    JOIN chosen ON chosen.place = n % 100000
"""
#: As the migration that brought places gave them to the events that were there.
_PLACES = "INSERT INTO event_place (event_id, place) SELECT id, row_number() OVER (ORDER BY id) FROM event"


def fill(engine: Engine, size: Size) -> None:
    """Some minutes for the full size. What waits for its turn on the disk is written before it returns."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        connection.execute(text(_HOSTS))
        connection.execute(text(_ACCOUNTS), {"domain": ROOT_DOMAIN, "accounts": size.accounts})
        connection.execute(text(_VMS), {"vms": size.vms, "admin": ADMIN_ACCOUNT, "accounts": size.accounts})
        connection.execute(text(_SNAPSHOTS), {"snapshots": size.snapshots, "vms": size.vms})
        connection.execute(text(_LAYERS))
        connection.execute(text("ALTER TABLE event DISABLE TRIGGER note_fresh_events"))
    for first in range(1, size.events + 1, _AT_ONCE):
        with engine.begin() as connection:
            last = min(first + _AT_ONCE - 1, size.events)
            connection.execute(text(_EVENTS), {"first": first, "last": last})
    with engine.begin() as connection:
        connection.execute(text(_PLACES))
        connection.execute(text("ALTER TABLE event ENABLE TRIGGER note_fresh_events"))
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
