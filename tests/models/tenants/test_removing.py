"""Accounts and domains that are deleted."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.events.tables import Event
from models.jobs.tables import Job
from models.policies.keep import add_policy, delete_policy
from models.policies.tables import Policy
from models.queries import accounts as rows
from models.queries.owners import owned
from models.queries.paging import Wanted
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN, Actor
from models.tenants.giving import assign_vm
from models.tenants.keep import add_account, add_domain
from models.tenants.keys import OPENS, add_key, make_key, verify_key
from models.tenants.removing import delete_account, delete_domain
from models.tenants.tables import ADMIN_ACCOUNT, Account, ApiKey, Domain
from models.users.keep import add_user
from models.users.tables import User
from models.vms.tables import Vm
from models.webhooks.keep import add_webhook
from models.webhooks.tables import Webhook
from stillframe.errors import (
    AccountInUse,
    AccountNotFound,
    BeyondOwn,
    DomainInUse,
    DomainNotFound,
    KeyRefused,
    StillframeError,
    Undeletable,
)
from stillframe.operations import CreateSnapshot
from stillframe.policies.as_json import policy_from_json
from stillframe.rights import Role
from stillframe.states import JobState, SnapshotState
from tasks.producer import Producer
from tests.world import World

pytestmark = pytest.mark.postgres


def remove(world: World, account: str, actor: Actor = ADMIN) -> None:
    with transaction(world.engine) as session:
        delete_account(session, actor, account)


def remove_domain(world: World, domain: str, actor: Actor = ADMIN) -> None:
    with transaction(world.engine) as session:
        delete_domain(session, actor, domain)


def wish(**selector: Any) -> dict[str, Any]:
    return {
        "name": "nightly",
        "selector": selector,
        "schedules": [{"every": "1d"}],
        "retention": {"last": 3},
    }


def test_an_account_with_anything_left_is_refused_with_the_figures(world: World) -> None:
    """VMs, snapshots, jobs, policies (its own and those that choose by it), users, webhooks: each counted; nothing changes."""
    owner = world.account("acme", "/a")
    own = Actor("acme", owner, Role.USER, "/a")
    vm = world.vm(account=owner)
    world.snapshot(vm)
    world.snapshot(vm, state=SnapshotState.ERROR)
    world.job(vm, "delete_snapshot")
    with transaction(world.engine) as session:
        add_policy(session, policy_from_json(wish(account="acme")), ADMIN)
        add_policy(session, policy_from_json(wish(names=["x*"])), own)
        add_webhook(session, own, 0, {"url": "https://example.com/"})
        add_user(session, ADMIN, "acme", "kim", "no password fits this")
        key, _ = make_key(session, owner, Role.USER, "k")

    with pytest.raises(AccountInUse) as refused:
        remove(world, "acme")
    assert refused.value.evidence["counts"] == {
        "VMs": 1,
        "snapshots": 2,
        "unfinished jobs": 1,
        "policies": 2,
        "users": 1,
        "webhooks": 1,
    }
    assert "1 VM, 2 snapshots, 1 unfinished job, 2 policies, 1 user, 1 webhook" in refused.value.detail
    assert "stillframe vm assign" in refused.value.remedy
    with transaction(world.engine) as session:
        assert verify_key(session, key).account_id == owner


def test_a_deleted_account_opens_nothing_and_keeps_its_past(world: World) -> None:
    """Its keys are revoked, its name is free, and its jobs and events are still read by those above it, with its name."""
    owner, other = world.account("acme", "/a"), world.account("heir", "/a")
    vm = world.vm(account=owner)
    with transaction(world.engine) as session:
        key, id_ = make_key(session, owner, Role.USER, "k")
        admin = verify_key(session, make_key(session, other, Role.DOMAIN, "admin")[0])
    Producer(world.engine, Celery(broker="redis://127.0.0.1:1/0")).submit(CreateSnapshot(vm=str(vm)), admin)
    with transaction(world.engine) as session:
        session.scalars(select(Job)).one().state = JobState.CANCELLED
        assign_vm(session, admin, str(vm), "heir")
    remove(world, "acme", admin)

    with transaction(world.engine) as session, pytest.raises(KeyRefused):
        verify_key(session, key)
    with transaction(world.engine) as session:
        assert session.get_one(ApiKey, id_).revoked_at is not None
        told = session.scalars(select(Event).where(Event.type == "account.deleted")).one()
        assert (told.message, told.account_id, told.data["keys_revoked"]) == ("acme", owner, 1)
        again = add_account(session, admin, "acme", "/a")
        assert again != owner
    with world.engine.connect() as connection:
        assert [one["name"] for one in rows.accounts(connection, admin, Wanted())["items"]] == [
            "acme",
            "heir",
        ]
        past = rows.accounts(connection, admin, Wanted(), deleted=True)["items"]
        assert {one["id"] for one in past} == {owner, other, again}
        assert rows.account(connection, admin, str(owner))["name"] == "acme"
        assert rows.account_id(connection, admin, "acme") == again
        (found,) = owned(connection, admin, str(owner), None).conditions(Job.account_id)
        assert len(connection.execute(select(Job.id).where(found)).all()) == 1
    with transaction(world.engine) as session, pytest.raises(AccountNotFound):
        assign_vm(session, admin, str(vm), str(owner))


def test_what_nobody_may_delete(world: World) -> None:
    """The first administrator's account, one's own, one with a key that sees further, the root, and one's own domain."""
    owner = world.account("acme", "/a")
    wide = world.account("wide", "/a/b")
    with transaction(world.engine) as session:
        make_key(session, wide, Role.ROOT, "root")
    domain_admin = Actor("acme", owner, Role.DOMAIN, "/a")

    cases: list[tuple[Callable[..., None], str, Actor, type[StillframeError]]] = [
        (remove, "admin", replace(ADMIN, account_id=owner), Undeletable),
        (remove, "acme", domain_admin, Undeletable),
        (remove, "wide", domain_admin, BeyondOwn),
        (remove, "admin", domain_admin, AccountNotFound),
        (remove_domain, "/", ADMIN, Undeletable),
        (remove_domain, "/a", domain_admin, Undeletable),
        (remove_domain, "/", domain_admin, DomainNotFound),
    ]
    for act, named, actor, refusal in cases:
        with pytest.raises(refusal):
            act(world, named, actor)
    remove(world, "wide")


def test_a_vm_that_is_gone_keeps_no_account(world: World) -> None:
    """One without snapshots; should it come back it is nobody's, which the first administrator sees."""
    owner = world.account("acme", "/a")
    empty, full = world.vm("empty", gone=True, account=owner), world.vm("full", gone=True, account=owner)
    kept = world.snapshot(full)
    with pytest.raises(AccountInUse):
        remove(world, "acme")
    with transaction(world.engine) as session:
        session.get_one(Snapshot, kept).state = SnapshotState.DELETED
    remove(world, "acme")
    with transaction(world.engine) as session:
        assert [session.get_one(Vm, vm).account_id for vm in (empty, full)] == [None, None]


def test_a_domain_is_deleted_when_it_is_empty(world: World) -> None:
    """Not with accounts, domains, or policies that choose by it; deleted accounts in it do not count."""
    world.account("acme", "/a/b")
    with pytest.raises(DomainInUse) as refused:
        remove_domain(world, "/a")
    assert refused.value.evidence["counts"] == {"domains": 1}
    with transaction(world.engine) as session:
        policy = add_policy(session, policy_from_json(wish(domain="/a/b")), ADMIN)
    with pytest.raises(DomainInUse) as refused:
        remove_domain(world, "/a/b")
    assert refused.value.evidence["counts"] == {"accounts": 1, "policies": 1}
    with transaction(world.engine) as session:
        delete_policy(session, policy, ADMIN)
    remove(world, "acme")
    remove_domain(world, "/a/b")
    remove_domain(world, "/a")
    with pytest.raises(DomainNotFound):
        remove_domain(world, "/a")


def test_who_gets_the_name_of_a_deleted_domain_does_not_see_what_was_in_it(world: World) -> None:
    """Nor what was deleted below it before; those above it see both, under paths that no name can have."""
    old = [world.account("acme", "/a/b"), world.account("acme", "/a/b/c")]
    for named in map(str, old):
        remove(world, named)
    remove_domain(world, "/a/b/c")
    remove_domain(world, "/a/b")
    new = world.account("acme", "/a/b")

    with world.engine.connect() as connection:
        mine = Actor("acme", new, Role.DOMAIN, "/a/b")
        seen = rows.accounts(connection, mine, Wanted(), deleted=True)["items"]
        assert [one["id"] for one in seen] == [new]
        assert [one["path"] for one in rows.domains(connection, mine, Wanted(), deleted=True)["items"]] == [
            "/a/b"
        ]
        above = Actor("top", ADMIN_ACCOUNT, Role.DOMAIN, "/a")
        paths = [
            one["path"] for one in rows.domains(connection, above, Wanted(), "/a", deleted=True)["items"]
        ]
        assert paths[:2] == ["/a", "/a/b"]
        assert paths[2].startswith("/a/b~")
        assert paths[3].startswith(f"{paths[2]}/c~")
        assert {one["id"] for one in rows.accounts(connection, above, Wanted(), deleted=True)["items"]} == {
            *old,
            new,
        }
        assert [one["path"] for one in rows.domains(connection, above, Wanted(), "/a")["items"]] == [
            "/a",
            "/a/b",
        ]


def give(session: Session, own: Actor, vm: UUID) -> None:
    assign_vm(session, ADMIN, str(vm), str(own.account_id))


def key(session: Session, own: Actor, vm: UUID) -> None:
    add_key(session, ADMIN, str(own.account_id), Role.USER, "k")


def policy(session: Session, own: Actor, vm: UUID) -> None:
    add_policy(session, policy_from_json(wish(names=["x*"])), own)


def webhook(session: Session, own: Actor, vm: UUID) -> None:
    add_webhook(session, own, 0, {"url": "https://example.com/"})


def user(session: Session, own: Actor, vm: UUID) -> None:
    add_user(session, ADMIN, str(own.account_id), own.name, "no password fits this")


@pytest.mark.parametrize("add", [give, key, policy, webhook, user])
def test_of_an_addition_and_a_deletion_at_once_one_comes_first(
    world: World, add: Callable[[Session, Actor, UUID], None]
) -> None:
    """Nothing is ever left in what was deleted: not a VM, a key that opens, a policy, a webhook or a user."""
    for number in range(8):
        owner = world.account(f"acme{number}", "/a")
        own, vm = Actor(f"acme{number}", owner, Role.USER, "/a"), world.vm(f"vm{number}")

        def adding(own: Actor = own, vm: UUID = vm) -> None:
            with transaction(world.engine) as session:
                add(session, own, vm)

        _race(lambda account=owner: remove(world, str(account)), adding)  # type: ignore[misc]
        with transaction(world.engine) as session:
            if session.get_one(Account, owner).deleted_at is None:
                continue
            left = [
                *session.scalars(select(Vm.id).where(Vm.account_id == owner)),
                *session.scalars(select(ApiKey.id).where(ApiKey.account_id == owner, OPENS)),
                *session.scalars(select(Policy.id).where(Policy.account_id == owner)),
                *session.scalars(select(User.id).where(User.account_id == owner)),
                *session.scalars(select(Webhook.id).where(Webhook.account_id == owner)),
            ]
            assert left == []


def _race(one: Callable[[], None], other: Callable[[], None]) -> None:
    """Both at the same moment; each may be refused."""
    ready = Barrier(2)

    def run(act: Callable[[], None]) -> None:
        ready.wait()
        with contextlib.suppress(AccountInUse, AccountNotFound, DomainInUse, DomainNotFound, KeyRefused):
            act()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, (one, other)))


def test_a_domain_gets_nothing_while_it_is_deleted(world: World) -> None:
    """An account or a domain that is made in it at the same moment is there first, or there is no such domain."""
    for number in range(12):
        world.account("x", f"/d{number}/keep")
        with transaction(world.engine) as session:
            path = f"/d{number}/empty"
            id_ = add_domain(session, ADMIN, "empty", f"/d{number}")

        def account(path: str = path) -> None:
            with transaction(world.engine) as session:
                add_account(session, ADMIN, "acme", path)

        def domain(path: str = path) -> None:
            with transaction(world.engine) as session:
                add_domain(session, ADMIN, "below", path)

        _race(lambda path=path: remove_domain(world, path), account if number % 2 else domain)  # type: ignore[misc]
        with transaction(world.engine) as session:
            if session.get_one(Domain, id_).deleted_at is not None:
                assert session.scalars(select(Account.id).where(Account.domain_id == id_)).all() == []
                assert session.scalars(select(Domain.id).where(Domain.parent_id == id_)).all() == []
