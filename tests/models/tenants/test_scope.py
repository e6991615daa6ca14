"""What somebody sees."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from models.session import transaction
from models.tenants.actor import ADMIN, Actor
from models.tenants.scope import mine, my_vms
from models.tenants.tables import ADMIN_ACCOUNT, ROOT_DOMAIN, Account, Domain
from models.vms.tables import Vm
from stillframe.rights import RIGHTS, Right, Role
from tests.world import World

pytestmark = pytest.mark.postgres


def test_a_role_sees_everything_a_subtree_or_an_account(world: World) -> None:
    """A domain is not taken for another whose name begins alike, and what is nobody's yet is the administrator's."""
    engine = world.engine
    owners = {
        "acme": world.account("acme", "/a"),
        "dev": world.account("dev", "/a/dev"),
        "other": world.account("other", "/ab"),
    }
    for name, owner in (*owners.items(), ("nobodys", None)):
        world.vm(name, account=owner)

    def seen(actor: Actor) -> set[str]:
        with transaction(engine) as session:
            return set(session.scalars(select(Vm.name).where(my_vms(actor))))

    of_acme = Actor("acme", owners["acme"], Role.DOMAIN, "/a")
    assert seen(of_acme) == seen(replace(of_acme, wide=True)) == {"acme", "dev"}
    assert seen(replace(of_acme, role=Role.USER)) == {"acme"}
    assert seen(replace(of_acme, role=Role.READ_ONLY)) == {"acme"}
    assert seen(replace(of_acme, role=Role.ROOT)) == {"acme", "dev", "other", "nobodys"}
    assert seen(Actor("dev", owners["dev"], Role.DOMAIN, "/a/dev")) == {"dev"}
    assert seen(replace(ADMIN, role=Role.USER)) == {"nobodys"}
    assert seen(replace(ADMIN, role=Role.DOMAIN)) == {"acme", "dev", "other", "nobodys"}
    with transaction(engine) as session:
        assert (
            session.scalar(select(Account.id).where(mine(of_acme, Account.id), Account.id == ADMIN_ACCOUNT))
            is None
        )
        assert session.get_one(Domain, ROOT_DOMAIN).path == "/"


def test_scopes_narrow_a_role_and_never_widen_it() -> None:
    """A key has the rights that its role and its scopes have in common."""
    user = Actor("u", ADMIN_ACCOUNT, Role.USER, scopes=frozenset({Right.CREATE, Right.HOST}))

    assert user.rights == {Right.CREATE}
    assert replace(user, scopes=None).rights == RIGHTS[Role.USER]
    assert replace(user, scopes=frozenset()).rights == frozenset()
