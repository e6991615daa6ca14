"""What names an account."""

import pytest

from models.session import transaction
from models.tenants.actor import ADMIN, Actor
from models.tenants.keep import add_account
from models.tenants.named import find_account
from stillframe.errors import AccountNameAmbiguous, AccountNameTaken, AccountNotFound
from stillframe.rights import Role
from tests.world import World

pytestmark = pytest.mark.postgres


def test_a_name_is_an_accounts_own_in_its_domain(world: World) -> None:
    """Two domains may each have one; in one domain the second is refused, also when both are made at once."""
    with transaction(world.engine) as session:
        first, second = world.account("dev", "/a"), world.account("dev", "/b")
        assert first != second
        with pytest.raises(AccountNameTaken) as refused:
            add_account(session, ADMIN, "dev", "/a")
    assert refused.value.detail == 'There is an account "dev" in domain /a already.'


def test_an_account_is_named_by_its_domain_where_its_name_is_not_enough(world: World) -> None:
    """By path and name, with or without a slash before it, or by id; the name alone is refused with those that are seen."""
    ours, below, theirs = (world.account("dev", path) for path in ("/a", "/a/b", "/other"))
    admin = Actor("admin", ours, Role.DOMAIN, "/a")
    with transaction(world.engine) as session:
        for text, meant in (("/a/dev", ours), ("a/b/dev", below), (str(below), below)):
            assert find_account(session, admin, text)[0].id == meant
        with pytest.raises(AccountNameAmbiguous) as refused:
            find_account(session, admin, "dev")
        assert refused.value.evidence["candidates"] == "/a/dev, /a/b/dev"
        for unseen in ("/other/dev", str(theirs), "/a/b/c/dev", "a/", "/", "\0"):
            with pytest.raises(AccountNotFound):
                find_account(session, admin, unseen)
        assert find_account(session, Actor("dev", below, Role.USER, "/a/b"), "dev")[0].id == below
        assert find_account(session, ADMIN, "/admin")[1].path == "/"


def test_an_id_means_the_account_that_has_it(world: World) -> None:
    """Also when another account was given that id as its name."""
    meant = world.account("acme", "/a")
    world.account(str(meant), "/a")
    with transaction(world.engine) as session:
        assert find_account(session, ADMIN, str(meant))[0].id == meant
        assert find_account(session, ADMIN, f"/a/{meant}")[0].name == str(meant)
