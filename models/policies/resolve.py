"""Which VMs a selector means at this moment, for many policies in one statement: none that its maker did not see."""

import re
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Uuid, bindparam, text
from sqlalchemy.orm import Session

from models.base import Json, Sql
from models.find import host_id
from models.tenants.actor import Actor
from models.tenants.named import find_account, find_domain
from models.tenants.tables import ADMIN_ACCOUNT
from stillframe.errors import Invalid
from stillframe.policies.policy import Selector

_REST = """
    NOT vm.gone
    AND (policy.of_names IS NULL OR vm.name LIKE ANY (policy.of_names))
    AND (policy.of_tags IS NULL OR vm.tags && policy.of_tags)
    AND (policy.of_host_id IS NULL OR vm.host_id = policy.of_host_id)
    AND (policy.of_account_id IS NULL OR coalesce(vm.account_id, :admin) = policy.of_account_id)
    AND (policy.role = 'root'
         OR policy.role = 'domain' AND (domain.path = home.path OR starts_with(domain.path, rtrim(home.path, '/') || '/'))
         OR policy.role = 'user' AND account.id = policy.account_id)
    AND (policy.of_domain IS NULL OR domain.path = policy.of_domain
         OR starts_with(domain.path, rtrim(policy.of_domain, '/') || '/'))
"""
_OWNED = """
    JOIN account ON account.id = coalesce(vm.account_id, :admin) JOIN domain ON domain.id = account.domain_id
"""

_BEHIND = "(wanted.behind IS NULL OR vm.id > wanted.behind)"

#: Each policy is looked up by what leads to the fewest VMs: ids, names (by the index of their trigrams), tags, a host. Only one
#: that gives none of these reads all VMs. `behind` NULL: from the first one on.
_VMS = f"""
    SELECT wanted.place, found.id AS vm_id
    FROM unnest(:policies, :behind) WITH ORDINALITY AS wanted (policy_id, behind, place)
    JOIN policy ON policy.id = wanted.policy_id
    JOIN account AS owner ON owner.id = policy.account_id JOIN domain AS home ON home.id = owner.domain_id
    CROSS JOIN LATERAL (
        SELECT vm.id FROM unnest(policy.of_ids) AS named (id) JOIN vm ON vm.id = named.id {_OWNED}
        WHERE {_BEHIND} AND {_REST}
        UNION ALL
        SELECT DISTINCT vm.id FROM unnest(policy.of_names) AS named (pattern) JOIN vm ON vm.name LIKE named.pattern {_OWNED}
        WHERE policy.of_ids IS NULL AND {_BEHIND} AND {_REST}
        UNION ALL
        SELECT vm.id FROM vm {_OWNED}
        WHERE policy.of_ids IS NULL AND policy.of_names IS NULL AND vm.tags && policy.of_tags AND {_BEHIND} AND {_REST}
        UNION ALL
        SELECT vm.id FROM vm {_OWNED}
        WHERE policy.of_ids IS NULL AND policy.of_names IS NULL AND policy.of_tags IS NULL
        AND vm.host_id = policy.of_host_id AND {_BEHIND} AND {_REST}
        UNION ALL
        SELECT vm.id FROM vm {_OWNED}
        WHERE policy.of_ids IS NULL AND policy.of_names IS NULL AND policy.of_tags IS NULL AND policy.of_host_id IS NULL
        AND {_BEHIND} AND {_REST}
        ORDER BY id
        LIMIT :most
    ) AS found
    ORDER BY wanted.place, found.id
"""  # noqa: S608


def vms_in(session: Sql, policies: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """The VMs of each policy; a policy whose selector matches none is not in it."""
    ids = list(policies)
    found = next_vms(session, [(id_, None) for id_ in ids])
    return {id_: vms for id_, vms in zip(ids, found, strict=True) if vms}


def next_vms(
    session: Sql, wanted: Sequence[tuple[UUID, UUID | None]], most: int | None = None
) -> list[list[UUID]]:
    """Of each policy its VMs behind one, or from the first on, by their ids; no more than `most` of each."""
    typed = text(_VMS).bindparams(
        bindparam("admin", ADMIN_ACCOUNT, type_=Uuid()),
        bindparam("policies", type_=ARRAY(Uuid())),
        bindparam("behind", type_=ARRAY(Uuid())),
        bindparam("most", type_=BigInteger()),
    )
    columns = {"policies": [policy for policy, _ in wanted], "behind": [behind for _, behind in wanted]}
    found: list[list[UUID]] = [[] for _ in wanted]
    for row in session.execute(typed, {**columns, "most": most}):
        found[row.place - 1].append(row.vm_id)
    return found


def columns_of(session: Session, selector: Selector, actor: Actor) -> Json:
    """The selector as columns of a policy; raises NotFound for an account, domain or host that the actor
    sees none of, and AccountNameAmbiguous.
    """
    return {
        "of_ids": [_id(one) for one in selector.ids] or None,
        "of_names": [like(one) for one in selector.names] or None,
        "of_tags": list(selector.tags) or None,
        "of_account_id": selector.account and find_account(session, actor, selector.account)[0].id,
        "of_domain": selector.domain and find_domain(session, actor, selector.domain).path,
        "of_host_id": selector.host and host_id(session.connection(), actor, selector.host),
    }


def like(pattern: str) -> str:
    """A pattern with * and ? as LIKE has it; everything else means itself."""
    return re.sub(r"[\\%_]", r"\\\g<0>", pattern).replace("*", "%").replace("?", "_")


def _id(one: str) -> UUID:
    try:
        return UUID(one)
    except ValueError:
        raise Invalid(detail=f"selector id {one!r} is no VM's id; `names` takes names and patterns") from None
