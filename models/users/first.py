"""The first administrator as a person: made beside the database, where nobody is who could make one through the API."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.moves import Told, tell
from models.tenants.actor import ADMIN
from models.tenants.tables import ADMIN_ACCOUNT
from models.users.keep import add_user, replace_password
from models.users.sessions import end_sessions
from models.users.tables import User
from stillframe.events import EventType
from stillframe.rights import Role


def let_administrator_in(session: Session, name: str, password_hash: str) -> bool:
    """A user of the first administrator's account who may do everything; whether it is new.

    One that is there gets the password, and the rights back that an administrator has: it is also the way back in.
    Raises NameInvalid, or UserNameTaken for a user of that name in another account of the root domain.
    """
    named = User.account_id == ADMIN_ACCOUNT, func.lower(User.name) == name.lower()
    row = session.scalars(select(User).where(*named).with_for_update()).one_or_none()
    if row is None:
        account = str(ADMIN_ACCOUNT)
        add_user(session, ADMIN, account, name, password_hash, role=Role.ROOT, must_change=False)
        return True
    replace_password(row, password_hash, must_change=False)
    row.role, row.scopes, row.disabled_at, row.expires_at = Role.ROOT, None, None, None
    said = {"user_id": str(row.id), "sessions_ended": end_sessions(session, row.id)}
    told = Told(EventType.USER_PASSWORD_SET, ADMIN.name, message=f"/{row.name}", data=said)
    tell(session, told, account=ADMIN_ACCOUNT)
    return False
