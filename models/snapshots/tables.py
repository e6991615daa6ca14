"""The tables of snapshots: the snapshot, the layers it refers to, and the volume snapshots extracted out of it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ForeignKey, Index, func, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Json, quoted, words
from models.ids import new_id
from stillframe.states import Consistency, SnapshotOrigin, SnapshotState, SnapshotType, VolumeSnapshotState

#: A snapshot in one of these has no claim on its name.
NAMELESS = frozenset({SnapshotState.DELETED, SnapshotState.ERROR})


class Snapshot(Base):
    """A VM at an instant. `size_bytes` is what its own layers take; `folder` is where its manifest lies."""

    __tablename__ = "snapshot"
    __table_args__ = (
        Index(
            "uq_snapshot_live_name",
            "vm_id",
            "name",
            unique=True,
            postgresql_where=text(f"state NOT IN ({quoted(NAMELESS)}) AND origin = 'stillframe'"),
        ),
        Index("uq_snapshot_current", "vm_id", unique=True, postgresql_where=text("current")),
        Index("ix_snapshot_created", text("created_at DESC"), text("id DESC")),
        Index("ix_snapshot_account", "account_id", text("created_at DESC"), text("id DESC")),
        Index(
            "ix_snapshot_counted",
            "account_id",
            "vm_id",
            postgresql_include=["size_bytes"],
            postgresql_where=text("state NOT IN ('deleted', 'error') AND origin = 'stillframe'"),
        ),
        Index("ix_snapshot_state", "state", text("created_at DESC"), text("id DESC")),
        Index("ix_snapshot_vm", "vm_id", text("created_at DESC"), text("id DESC")),
        Index("ix_snapshot_policy", "policy_id", "vm_id", postgresql_where=text("policy_id IS NOT NULL")),
        Index("ix_snapshot_parent", "parent_id"),
        Index("ix_snapshot_tags", "tags", postgresql_using="gin"),
        Index(
            "ix_snapshot_expires",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL AND state IN ('ready', 'error')"),
        ),
        Index("ix_snapshot_name", "name", "id"),
        Index("ix_snapshot_in_state", "state", "id"),
        Index("ix_snapshot_size", "size_bytes", "id"),
        Index("ix_snapshot_ready", text("coalesce(ready_at, to_timestamp(0))"), "id"),
        Index(
            "ix_snapshot_stood_on",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("current"),
        ),
        Index("ix_snapshot_held", text("created_at DESC"), text("id DESC"), postgresql_where=text("held")),
        Index(
            "ix_snapshot_id_end",
            literal_column("reverse(id::text)").label("id_end"),
            postgresql_ops={"id_end": "text_pattern_ops"},
        ),
        Index(
            "ix_snapshot_name_trgm", "name", postgresql_using="gin", postgresql_ops={"name": "gin_trgm_ops"}
        ),
        Index(
            "ix_snapshot_display_name_trgm",
            "display_name",
            postgresql_using="gin",
            postgresql_ops={"display_name": "gin_trgm_ops"},
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    vm_id: Mapped[UUID] = mapped_column(ForeignKey("vm.id"))
    host_id: Mapped[UUID] = mapped_column(ForeignKey("host.id"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    policy_id: Mapped[UUID | None] = mapped_column(ForeignKey("policy.id"))
    name: Mapped[str]
    display_name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    type: Mapped[SnapshotType] = mapped_column(words(SnapshotType, "type"))
    state: Mapped[SnapshotState] = mapped_column(words(SnapshotState, "state"))
    consistency: Mapped[Consistency | None] = mapped_column(words(Consistency, "consistency"))
    current: Mapped[bool] = mapped_column(server_default="false")
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("snapshot.id"))
    tags: Mapped[list[str]] = mapped_column(server_default="{}")
    #: Not to be pruned nor deleted, until released or `held_until`.
    held: Mapped[bool] = mapped_column(server_default="false")
    hold_reason: Mapped[str | None]
    held_by: Mapped[str | None]
    held_until: Mapped[datetime | None]
    folder: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ready_at: Mapped[datetime | None]
    #: From then on it is to be deleted; when that was last tried, and why it was refused.
    expires_at: Mapped[datetime | None]
    expiry_tried_at: Mapped[datetime | None]
    expiry_refusal: Mapped[str | None]
    size_bytes: Mapped[int] = mapped_column(server_default="0")
    memory_bytes: Mapped[int | None]
    pause_ms: Mapped[float | None]
    freeze_ms: Mapped[float | None]
    error: Mapped[Json | None]
    origin: Mapped[SnapshotOrigin] = mapped_column(
        words(SnapshotOrigin, "origin"),
        default=SnapshotOrigin.STILLFRAME,
        server_default=SnapshotOrigin.STILLFRAME.value,
    )
    #: Of a foreign one: its name in libvirt, kind (internal, external), and what else libvirt says.
    foreign: Mapped[Json | None]


def is_held(one: Any = Snapshot) -> ColumnElement[bool]:
    """Whether a snapshot is held at this moment: a hold whose time is over holds nothing."""
    found: ColumnElement[bool] = one.held & ((one.held_until > func.now()) | one.held_until.is_(None))
    return found


class SnapshotLayer(Base):
    """The layer that a snapshot froze of one volume. `layer_id` is NULL while the file is not seen."""

    __tablename__ = "snapshot_layer"
    __table_args__ = (Index("ix_snapshot_layer_layer", "layer_id"),)

    snapshot_id: Mapped[UUID] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
    layer_id: Mapped[UUID | None] = mapped_column(ForeignKey("layer.id", ondelete="SET NULL"))
    path: Mapped[str]
    virtual_bytes: Mapped[int]


class VolumeSnapshot(Base):
    """One volume extracted out of a snapshot: a standalone image that outlives the snapshot."""

    __tablename__ = "volume_snapshot"
    __table_args__ = (
        Index(
            "uq_volume_snapshot_live_name",
            "account_id",
            "name",
            unique=True,
            postgresql_where=text("state NOT IN ('deleted', 'error')"),
        ),
        Index("ix_volume_snapshot_created", text("created_at DESC"), text("id DESC")),
        Index(
            "ix_volume_snapshot_id_end",
            literal_column("reverse(id::text)").label("id_end"),
            postgresql_ops={"id_end": "text_pattern_ops"},
        ),
        Index(
            "ix_volume_snapshot_name_trgm",
            "name",
            postgresql_using="gin",
            postgresql_ops={"name": "gin_trgm_ops"},
        ),
        Index("ix_volume_snapshot_account", "account_id", text("created_at DESC"), text("id DESC")),
        Index("ix_volume_snapshot_vm", "vm_id", text("created_at DESC"), text("id DESC")),
        Index("ix_volume_snapshot_snapshot", "snapshot_id"),
        Index(
            "ix_volume_snapshot_policy",
            "policy_id",
            "vm_id",
            postgresql_where=text("policy_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    state: Mapped[VolumeSnapshotState] = mapped_column(words(VolumeSnapshotState, "state"))
    snapshot_id: Mapped[UUID] = mapped_column(ForeignKey("snapshot.id"))
    vm_id: Mapped[UUID] = mapped_column(ForeignKey("vm.id"))
    host_id: Mapped[UUID] = mapped_column(ForeignKey("host.id"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    #: The policy that had it extracted, whose retention it falls under.
    policy_id: Mapped[UUID | None] = mapped_column(ForeignKey("policy.id"))
    target: Mapped[str]
    format: Mapped[str] = mapped_column(server_default="qcow2")
    virtual_bytes: Mapped[int | None]
    size_bytes: Mapped[int | None]
    sha256: Mapped[str | None]
    path: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ready_at: Mapped[datetime | None]
    error: Mapped[Json | None]
