"""Keys over HTTP: what may be sent, and what is answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from stillframe.rights import Right, Role
from web.account_shapes import Json, Name
from web.examples import shown
from web.shapes import Shape
from web.wishes import When, Wish

KEY: Json = {
    "id": "01a206ee-0d1c-7c0b-93a5-9a4a1c0e6a55",
    "account": "acme",
    "domain": "/acme",
    "name": "backup service",
    "role": "user",
    "scopes": ["create", "delete"],
    "rights": ["create", "delete"],
    "prefix": "sfk_Qm3xT9aB",
    "opens": True,
    "created_at": "2026-11-23T09:12:44Z",
    "expires_at": "2027-11-23T00:00:00Z",
    "revoked_at": None,
    "last_used_at": None,
}


class Key(Shape):
    """`rights` are those that its role and its scopes have in common. `opens`: it is neither revoked nor expired."""

    model_config = ConfigDict(json_schema_extra=shown(KEY))

    id: UUID
    account: str
    domain: str
    name: str
    role: Role
    scopes: list[str] | None
    rights: list[Right]
    prefix: str
    opens: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKey(Key):
    """A key that was just made, with the key itself: this once, and null when the request was sent before."""

    model_config = ConfigDict(json_schema_extra=shown({**KEY, "key": "sfk_Qm3xT9aB..."}))

    key: str | None


class WishKey(Wish):
    """A key to be made. `scopes` narrow it to some of what its role may do."""

    model_config = ConfigDict(
        json_schema_extra=shown(
            {"account": "acme", "role": "user", "name": "backup service", "scopes": ["create", "delete"]}
        )
    )

    account: Name
    role: Role = Role.USER
    name: Name
    scopes: Annotated[list[Right], Field(max_length=32)] | None = None
    expires_at: When | None = None
