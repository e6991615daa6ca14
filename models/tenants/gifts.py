"""Nobody gives more than they have: what a key, or a user, may have of whoever makes or changes it."""

from collections.abc import Collection
from datetime import datetime

from models.tenants.actor import Actor
from stillframe.errors import BeyondOwn, RightsNotOfRole
from stillframe.rights import RIGHTS, Right, Role, is_within


def check_gift(
    actor: Actor, what: str, role: Role, scopes: Collection[Right] | None, until: datetime | None
) -> None:
    """Raises RightsNotOfRole for rights that the role has not, BeyondOwn for more than the actor has. `what`: "A key"."""
    if not is_within(role, actor.role):
        raise BeyondOwn(what=f"{what} of the role {role}")
    rights = RIGHTS[role] if scopes is None else frozenset(scopes)
    if foreign := rights - RIGHTS[role]:
        has = listed(RIGHTS[role]) or "none, it looks"
        raise RightsNotOfRole(what=what, role=role, rights=listed(foreign), has=has)
    if beyond := rights - actor.rights:
        raise BeyondOwn(what=f"{what} with the rights {listed(beyond)}")
    if actor.until is not None and (until is None or until > actor.until):
        raise BeyondOwn(what=f"{what} that lives longer than until {actor.until.isoformat()}")


def listed(rights: Collection[Right]) -> str:
    """In the order of the enum."""
    return ", ".join(right for right in Right if right in rights)
