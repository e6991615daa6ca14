"""Accounts and domains over HTTP: what may be sent, and what is answered."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from web.examples import shown
from web.shapes import Shape
from web.wishes import Wish, Words

Json = dict[str, Any]
Name = Annotated[Words, Field(min_length=1, max_length=255)]
Limit = Annotated[int, Field(ge=0, le=2**62)] | None

_LIMITS: Json = {"max_snapshots_a_vm": 16, "max_snapshots": 500, "max_bytes": 1099511627776, "max_jobs": 20}
_OF_DOMAIN: Json = {"max_snapshots": 5000, "max_bytes": 10995116277760}
_USED: Json = {"snapshots": 112, "bytes": 214748364800, "jobs": 1}
DOMAIN: Json = {
    "id": "01a206ee-0aa1-7b5e-8c21-2f7f6f1b0d11",
    "name": "acme",
    "path": "/acme",
    "parent": "/",
    "created_at": "2026-11-23T09:10:00Z",
    "deleted_at": None,
    "limits": _OF_DOMAIN,
    "used": _USED,
}
ACCOUNT: Json = {
    "id": "01a206ee-0b02-7d11-9b0e-5a1d0c2f3e44",
    "name": "acme",
    "domain": "/acme",
    "created_at": "2026-11-23T09:11:00Z",
    "deleted_at": None,
    "limits": _LIMITS,
    "used": _USED,
}


class LimitsOfDomain(Shape):
    """What all accounts of a subtree together may have. Null is no limit; what failed counts for nothing."""

    max_snapshots: int | None
    max_bytes: int | None


class Limits(LimitsOfDomain):
    """What an account may have. `max_jobs` are those that are not over and do not wait for a person."""

    max_snapshots_a_vm: int | None
    max_jobs: int | None


class Used(Shape):
    """What is used of the limits."""

    snapshots: int
    bytes: int
    jobs: int


class Domain(Shape):
    """A node of the tree of tenants. `used` is that of its subtree, and null in lists.

    The path of one that was deleted ends in a part of its id.
    """

    model_config = ConfigDict(json_schema_extra=shown(DOMAIN))

    id: UUID
    name: str
    path: str
    parent: str | None
    created_at: datetime
    deleted_at: datetime | None
    limits: LimitsOfDomain
    used: Used | None


class Account(Shape):
    """The owner of VMs and snapshots. Its name is its own in its domain. `used` is null in lists."""

    model_config = ConfigDict(json_schema_extra=shown(ACCOUNT))

    id: UUID
    name: str
    domain: str
    created_at: datetime
    deleted_at: datetime | None
    limits: Limits
    used: Used | None


class WishAccount(Wish):
    """An account to be made; without `domain` in the domain of who asks."""

    model_config = ConfigDict(json_schema_extra=shown({"name": "acme", "domain": "/acme"}))

    name: Name
    domain: Name | None = None


class WishDomain(Wish):
    """A domain to be made; without `parent` below the domain of who asks."""

    model_config = ConfigDict(json_schema_extra=shown({"name": "acme", "parent": "/"}))

    name: Name
    parent: Name | None = None


class WishLimitsOfDomain(Wish):
    """New limits of a domain; what is left out stays, null takes a limit away."""

    model_config = ConfigDict(json_schema_extra=shown(_OF_DOMAIN))

    max_snapshots: Limit = None
    max_bytes: Limit = None


class WishLimits(WishLimitsOfDomain):
    """New limits of an account; what is left out stays, null takes a limit away."""

    model_config = ConfigDict(json_schema_extra=shown(_LIMITS))

    max_snapshots_a_vm: Limit = None
    max_jobs: Limit = None
