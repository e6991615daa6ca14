"""API keys."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from models.session import transaction
from models.tenants.actor import ADMIN
from models.tenants.keys import add_key, make_key, revoke_key, verify_key
from models.tenants.tables import ADMIN_ACCOUNT, ApiKey
from stillframe.errors import KeyRefused, NotFound, RightsNotOfRole
from stillframe.rights import Right, Role

pytestmark = pytest.mark.postgres


def test_a_key_opens_until_it_is_revoked(engine: Engine) -> None:
    """It acts for its account with its role, its use is noted, and the key itself is in no row."""
    with transaction(engine) as session:
        key, id_ = make_key(session, ADMIN_ACCOUNT, Role.USER, "laptop")
    with transaction(engine) as session:
        actor = verify_key(session, key)
    assert (actor.name, actor.account_id, actor.role) == ("admin", ADMIN_ACCOUNT, Role.USER)
    with transaction(engine) as session:
        row = session.scalars(select(ApiKey)).one()
        assert row.last_used_at is not None
        assert key.startswith(row.prefix)
        assert key not in {str(value) for value in vars(row).values()}
        revoke_key(session, ADMIN, id_)
    with transaction(engine) as session, pytest.raises(KeyRefused):
        verify_key(session, key)


def test_an_expired_or_unknown_key_is_refused(engine: Engine) -> None:
    """One that is over is as good as none."""
    with transaction(engine) as session:
        over = datetime.now(UTC) - timedelta(seconds=1)
        key, _ = make_key(session, ADMIN_ACCOUNT, Role.USER, "old", expires_at=over)
        for wrong in (key, "sfk_nonsense", ""):
            with pytest.raises(KeyRefused):
                verify_key(session, wrong)
        with pytest.raises(NotFound):
            revoke_key(session, ADMIN, ADMIN_ACCOUNT)


@pytest.mark.parametrize(
    ("role", "right", "has"), [(Role.USER, Right.HOST, "delete"), (Role.READ_ONLY, Right.CREATE, "it looks")]
)
def test_a_right_that_a_role_has_not_is_refused(engine: Engine, role: Role, right: Right, has: str) -> None:
    """No key is made that can do less than it says; the refusal names the rights that the role has."""
    with transaction(engine) as session:
        with pytest.raises(RightsNotOfRole) as refused:
            add_key(session, ADMIN, "admin", role, "odd", scopes=[Right.HOST, right])
        assert right in refused.value.detail
        assert has in refused.value.detail
        assert session.scalars(select(ApiKey)).all() == []
