"""Who owns things: domains form a tree, accounts live in a domain, keys act for an account."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, words
from models.ids import new_id
from stillframe.rights import Role

ROOT_DOMAIN = UUID("00000000-0000-7000-8000-000000000001")
ADMIN_ACCOUNT = UUID("00000000-0000-7000-8000-000000000002")


class Domain(Base):
    """A node of the tree of tenants. The root has no parent; `path` is the names from the root, with slashes.

    One that was deleted stays as a row for what was in it. Its path has an ending that no name can have, so that
    whoever gets a domain of the same name does not see what was before.
    """

    __tablename__ = "domain"
    __table_args__ = (
        Index(
            "uq_domain_live_name",
            "parent_id",
            "name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("domain.id"))
    name: Mapped[str]
    path: Mapped[str] = mapped_column(unique=True)
    #: Of all accounts in its subtree together; NULL is no limit.
    max_snapshots: Mapped[int | None]
    max_bytes: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class Account(Base):
    """The owner of VMs and snapshots. Its name is its own in its domain; one that was deleted stays for its history."""

    __tablename__ = "account"
    __table_args__ = (
        Index("ix_account_domain", "domain_id"),
        Index("ix_account_name", "name", "id"),
        # For users, whose names are unique in their account's domain.
        UniqueConstraint("id", "domain_id", name="uq_account_id"),
        Index(
            "uq_account_live_name",
            "domain_id",
            "name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    domain_id: Mapped[UUID] = mapped_column(ForeignKey("domain.id"))
    name: Mapped[str]
    #: NULL is no limit.
    max_snapshots_a_vm: Mapped[int | None]
    max_snapshots: Mapped[int | None]
    max_bytes: Mapped[int | None]
    #: That are not over, but for those that wait for a person.
    max_jobs: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class ApiKey(Base):
    """A key by its hash; the key itself is shown once and kept nowhere. `prefix` lets people tell keys apart."""

    __tablename__ = "api_key"
    __table_args__ = (Index("ix_api_key_account", "account_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    name: Mapped[str]
    role: Mapped[Role] = mapped_column(words(Role, "role"))
    #: The rights that it was narrowed to; NULL means all of its role.
    scopes: Mapped[list[str] | None]
    prefix: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
