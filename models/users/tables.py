"""The tables of people: who logs in by name and password, where they are logged in, and how often somebody failed to."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, words
from models.ids import new_id
from stillframe.rights import Role


class User(Base):
    """A person with a password, who acts for one account. The name is theirs alone in the account's domain."""

    __tablename__ = "app_user"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "domain_id"], ["account.id", "account.domain_id"], name="fk_app_user_account_id",
            ondelete="CASCADE", onupdate="CASCADE",
        ),
        Index("uq_app_user_name", "domain_id", text("lower(name)"), unique=True),
        Index("ix_app_user_account", "account_id"),
        Index("ix_app_user_sorted", "name", "id"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    account_id: Mapped[UUID]
    #: The account's: a login is looked up by it.
    domain_id: Mapped[UUID] = mapped_column(ForeignKey("domain.id"))
    name: Mapped[str]
    display_name: Mapped[str]
    email: Mapped[str | None]
    role: Mapped[Role] = mapped_column(words(Role, "role"))
    #: The rights that it was narrowed to; NULL means all of its role.
    scopes: Mapped[list[str] | None]
    #: As Argon2 writes it, with its parameters.
    password_hash: Mapped[str]
    #: Which of the user's passwords it is: counts up with each, and stays when the same one is hashed anew.
    password_number: Mapped[int] = mapped_column(server_default="1")
    password_set_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Somebody else set the password: it opens nothing but the way to another one.
    must_change: Mapped[bool]
    disabled_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LoginSession(Base):
    """A login that goes on, by the hash of its token. One that ends is removed."""

    __tablename__ = "login_session"
    __table_args__ = (
        Index("ix_login_session_user", "user_id", "created_at"),
        Index("ix_login_session_expires", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("app_user.id", ondelete="CASCADE"))
    sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: To the minute.
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    address: Mapped[str]
    agent: Mapped[str]


class LoginKnown(Base):
    """An address from which a user logged in lately: strangers who guess elsewhere do not lock it out."""

    __tablename__ = "login_known"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("app_user.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class LoginBucket(Base):
    """Failed logins of one name or from one address: it drains steadily, and is empty at `empty_at`."""

    __tablename__ = "login_bucket"
    __table_args__ = (Index("ix_login_bucket_empty", "empty_at"),)

    #: A hash: what people type where a name belongs may be their password.
    subject: Mapped[str] = mapped_column(primary_key=True)
    empty_at: Mapped[datetime]
    #: Whether an event has told that it is full.
    told: Mapped[bool] = mapped_column(server_default=text("false"))
