"""Who asks for something: shown with every job and event, and what decides what they see and may do."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from models.tenants.tables import ADMIN_ACCOUNT
from stillframe.rights import RIGHTS, Right, Role
from stillframe.rules import check_right


@dataclass(frozen=True)
class Actor:
    """An account that acts: by a key, by a user who is logged in, or by a policy. `name` is what people read.

    `domain` is the path of the account's domain. `scopes` are the rights that the key was narrowed to; None means all
    of its role. `wide`: there are many accounts in its domain, which is a hint about how to look for them.
    `until` is when the key expires, or the user; whoever logged in gives nothing that lasts longer either.
    """

    name: str
    account_id: UUID
    role: Role
    domain: str = "/"
    scopes: frozenset[Right] | None = None
    wide: bool = False
    until: datetime | None = None
    #: The key by which it acts; or the user, and their login. None of them for policies and Stillframe itself.
    key_id: UUID | None = None
    user_id: UUID | None = None
    session_id: UUID | None = None
    #: It logged in by a password that somebody else set: nothing but another password is open to it.
    must_change: bool = False

    @property
    def rights(self) -> frozenset[Right]:
        """What it may do with what it sees."""
        of_role = RIGHTS[self.role]
        return of_role if self.scopes is None else of_role & self.scopes

    def check(self, right: Right) -> None:
        """Raises Forbidden if it has not this right."""
        check_right(right, self.rights)


#: Stillframe's own acts, and the first administrator's.
ADMIN = Actor(name="admin", account_id=ADMIN_ACCOUNT, role=Role.ROOT)


def of_worker(worker: str) -> str:
    """Who acts when a worker does: its host. The process it is does not interest a reader of events."""
    return worker.split("/", 1)[0]


def of_policy(name: str, account: UUID, role: Role, domain: str) -> Actor:
    """Who acts when a policy does: it sees what its maker saw, and does only what policies do by themselves."""
    rights = frozenset({Right.CREATE, Right.DELETE, Right.EXTRACT})
    return Actor(name=f"policy:{name}", account_id=account, role=role, domain=domain, scopes=rights)
