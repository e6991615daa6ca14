"""Users and logins over HTTP: what may be sent, and what is answered."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from stillframe.passwords import LONGEST, SHORTEST
from stillframe.rights import Right, Role
from web.account_shapes import Name
from web.examples import shown
from web.shapes import Ref, Shape
from web.typed import some
from web.wishes import When, Wish, Words

Json = dict[str, Any]


def _can_be_hashed(value: SecretStr) -> SecretStr:
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError as error:
        raise ValueError("it has half of a character") from error
    return value


AnyPassword = Annotated[SecretStr, AfterValidator(_can_be_hashed), Field(min_length=1, max_length=LONGEST)]
NewPassword = Annotated[
    SecretStr,
    AfterValidator(_can_be_hashed),
    Field(min_length=SHORTEST, max_length=LONGEST, description="Any characters, blanks too"),
]
Login = Annotated[
    Words, Field(min_length=1, max_length=1024, description="The domain's path and the name: /acme/kim")
]
DisplayName = Annotated[Words, Field(min_length=1, max_length=255)]
Email = Annotated[Words, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
Scopes = Annotated[list[Right], Field(max_length=32)]

USER: Json = {
    "id": "01a206ee-1f20-7a44-8e1b-6d2c3b4a5f66",
    "login": "/acme/kim",
    "name": "kim",
    "display_name": "김하늘",
    "email": "kim@example.com",
    "account": "web",
    "domain": "/acme",
    "role": "user",
    "scopes": None,
    "rights": ["comment", "create", "delete", "deploy", "edit", "extract", "policy", "revert", "webhook"],
    "opens": True,
    "must_change_password": False,
    "created_by": "/root",
    "created_at": "2026-11-23T09:13:00Z",
    "expires_at": None,
    "disabled_at": None,
    "password_set_at": "2026-11-23T09:20:31Z",
    "last_login_at": "2026-11-23T14:02:11Z",
}
SESSION: Json = {
    "id": "01a206ee-2b31-7c10-9f0a-1c2d3e4f5a77",
    "current": True,
    "created_at": "2026-11-23T14:02:11Z",
    "last_seen_at": "2026-11-23T14:30:00Z",
    "idle_until": "2026-11-23T15:30:00Z",
    "expires_at": "2026-11-24T02:02:11Z",
    "address": "192.0.2.7",
    "agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
}
ONESELF: Json = {
    "name": "/acme/kim",
    "account": {"id": "01a206ee-0b02-7d11-9b0e-5a1d0c2f3e44", "name": "web"},
    "domain": "/acme",
    "role": "user",
    "rights": USER["rights"],
    "by": "session",
    "key": None,
    "user": USER,
    "session": SESSION,
    "must_change_password": False,
}


class User(Shape):
    """A person who logs in. `rights` are those that the role and the scopes have in common. `opens`: it is neither
    disabled nor expired.
    """

    model_config = ConfigDict(json_schema_extra=shown(USER))

    id: UUID
    login: str
    name: str
    display_name: str
    email: str | None
    account: str
    domain: str
    role: Role
    scopes: list[str] | None
    rights: list[Right]
    opens: bool
    must_change_password: bool
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    disabled_at: datetime | None
    password_set_at: datetime
    last_login_at: datetime | None


class Session(Shape):
    """A login that goes on: until `idle_until` if it is not used, and until `expires_at` in any case. `current`: it asks."""

    model_config = ConfigDict(json_schema_extra=shown(SESSION))

    id: UUID
    current: bool
    created_at: datetime
    last_seen_at: datetime
    idle_until: datetime
    expires_at: datetime
    address: str
    agent: str


class OwnKey(Shape):
    """The key that somebody asks with."""

    id: UUID
    name: str
    prefix: str
    expires_at: datetime | None


class Oneself(Shape):
    """Who asks. `name` is what events call them; `must_change_password`: nothing else is open before."""

    model_config = ConfigDict(json_schema_extra=shown(ONESELF))

    name: str
    account: Ref
    domain: str
    role: Role
    rights: list[Right]
    by: Literal["key", "session"]
    key: OwnKey | None
    user: User | None
    session: Session | None
    must_change_password: bool


class WishLogin(Wish):
    """Who wants to log in."""

    model_config = ConfigDict(
        json_schema_extra=shown({"login": "/acme/kim", "password": "four words nobody joined"})
    )

    login: Login
    password: AnyPassword


class WishOwnPassword(Wish):
    """Another password of one's own."""

    model_config = ConfigDict(
        json_schema_extra=shown(
            {"present": "four words nobody joined", "wanted": "and four that somebody else did"}
        )
    )

    present: AnyPassword
    wanted: NewPassword


class WishPassword(Wish):
    """The password that a user logs in with next, and changes then."""

    model_config = ConfigDict(json_schema_extra=shown({"password": "four words nobody joined"}))

    password: NewPassword


class WishUser(Wish):
    """A user to be made, with the password for the first login, at which it is to be changed."""

    model_config = ConfigDict(
        json_schema_extra=shown(
            {
                "account": "web",
                "name": "kim",
                "display_name": "김하늘",
                "password": "four words nobody joined",
            }
        )
    )

    account: Name
    name: Name
    password: NewPassword
    role: Role = Role.USER
    scopes: Scopes | None = None
    display_name: DisplayName | None = None
    email: Email | None = None
    expires_at: When | None = None


class WishUserEdit(Wish):
    """What is to be changed of a user; what is left out stays. Null takes away an email, an expiry, or the narrowing."""

    model_config = ConfigDict(
        json_schema_extra=shown({"role": "domain", "scopes": ["create", "delete"], "expires_at": "90d"})
    )

    display_name: Annotated[DisplayName | None, AfterValidator(some)] = None
    email: Email | None = None
    role: Annotated[Role | None, AfterValidator(some)] = None
    scopes: Scopes | None = None
    expires_at: When | None = None
