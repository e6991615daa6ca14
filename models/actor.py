"""Who asks for something: shown with every job and event, and the owner of what is made."""

from dataclasses import dataclass
from uuid import UUID

from models.account import ADMIN_ACCOUNT, Role


@dataclass(frozen=True)
class Actor:
    """An account that acts, by a key or by a policy. `name` is what people read."""

    name: str
    account_id: UUID
    role: Role


#: Stillframe's own acts, and the first administrator's.
ADMIN = Actor(name="admin", account_id=ADMIN_ACCOUNT, role=Role.ROOT)


def of_worker(worker: str) -> str:
    """Who acts when a worker does: its host. The process it is does not interest a reader of events."""
    return worker.split("/", 1)[0]
