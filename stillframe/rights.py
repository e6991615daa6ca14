"""Who may do what: rights that are given apart, and the roles that are sets of them.

Looking needs no right: what somebody may see is decided by what belongs to them.
"""

from enum import StrEnum


class Right(StrEnum):
    """One thing that somebody may be allowed to do."""

    CREATE = "create"
    REVERT = "revert"
    DELETE = "delete"
    EXTRACT = "extract"
    DEPLOY = "deploy"
    #: Make, change and run policies. To make or change one takes the rights of what it does, too.
    POLICY = "policy"
    #: Change words, tags and holds.
    EDIT = "edit"
    COMMENT = "comment"
    WEBHOOK = "webhook"
    #: Accounts, domains, keys, quotas, and whose a VM is.
    ACCOUNT = "account"
    #: Decide about stuck jobs.
    RECOVER = "recover"
    #: Drain and rescan hosts.
    HOST = "host"


class Role(StrEnum):
    """How far somebody sees, and the most they may do there.

    `root` sees everything, `domain` a domain with all below it, `user` and `read_only` one account.
    """

    ROOT = "root"
    DOMAIN = "domain"
    USER = "user"
    READ_ONLY = "read_only"


#: What touches machines beyond a tenant's own VMs is for those who run them.
_OPERATORS = frozenset({Right.RECOVER, Right.HOST})

RIGHTS: dict[Role, frozenset[Right]] = {
    Role.ROOT: frozenset(Right),
    Role.DOMAIN: frozenset(Right) - _OPERATORS,
    Role.USER: frozenset(Right) - _OPERATORS - {Right.ACCOUNT},
    Role.READ_ONLY: frozenset(),
}
#: From the narrowest to the widest view.
_WIDTH = (Role.READ_ONLY, Role.USER, Role.DOMAIN, Role.ROOT)


def is_within(role: Role, other: Role) -> bool:
    """Whether one role sees no further than another."""
    return _WIDTH.index(role) <= _WIDTH.index(other)
