"""What the filters of a list name, looked up once: owners, VMs, a policy, a host."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection

from models.find import as_id, host_id, vm_ids
from models.queries.owners import Owned, owned
from models.queries.policies import policy_id
from models.tenants.actor import Actor
from models.tenants.scope import mine


@dataclass(frozen=True)
class Named:
    """As it was found; None where the filters name none."""

    owned: Owned
    vms: Sequence[UUID] | None
    policy: UUID | None
    host: UUID | None

    def conditions(self, one: Any) -> Iterator[ColumnElement[bool]]:
        """Of what the actor sees, what belongs to these, in columns such as `one.vm_id`."""
        yield mine(self.owned.actor, one.account_id)
        yield from self.owned.conditions(one.account_id)
        if self.vms is not None:
            yield one.vm_id.in_(self.vms)
        if self.policy is not None:
            yield one.policy_id == self.policy
        if self.host is not None:
            yield one.host_id == self.host


def named(
    connection: Connection,
    actor: Actor,
    *,
    account: str | None,
    domain: str | None,
    vm: str | None = None,
    gone: bool | None = None,
    policy: str | None = None,
    host: str | None = None,
) -> Named:
    """By names or ids; `gone` as `vm_ids` has it, and a policy that is deleted has its id only.

    Raises VmNotFound, VmGone, PolicyNotFound, HostNotFound, AccountNotFound or DomainNotFound.
    """
    return Named(
        owned(connection, actor, account, domain),
        None if vm is None else vm_ids(connection, actor, vm, gone=gone),
        None if policy is None else as_id(policy) or policy_id(connection, actor, policy),
        None if host is None else host_id(connection, actor, host),
    )
