"""The tables of a VM as its host's worker last saw it: the VM, its volumes, the layers of their images, and its twins."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Json, words
from models.ids import new_id
from stillframe.states import VmState


class Vm(Base):
    """A virtual machine; its id is libvirt's uuid. `gone`: it was on the host once and no longer is."""

    __tablename__ = "vm"
    __table_args__ = (
        Index("ix_vm_host", "host_id"),
        Index("ix_vm_account", "account_id", "name"),
        Index("ix_vm_name", "name"),
        Index("ix_vm_tags", "tags", postgresql_using="gin"),
        Index("ix_vm_name_trgm", "name", postgresql_using="gin", postgresql_ops={"name": "gin_trgm_ops"}),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    host_id: Mapped[UUID] = mapped_column(ForeignKey("host.id"))
    name: Mapped[str]
    state: Mapped[VmState] = mapped_column(words(VmState, "state"))
    reason: Mapped[str] = mapped_column(server_default="")
    memory_bytes: Mapped[int] = mapped_column(server_default="0")
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    gone: Mapped[bool] = mapped_column(server_default="false")
    #: What decides what can be asked of it: see `stillframe.seen.Traits`.
    traits: Mapped[Json] = mapped_column(server_default="{}")
    #: Given by people, for policies to choose by.
    tags: Mapped[list[str]] = mapped_column(server_default="{}")


class VmTwin(Base):
    """What another host has of a VM than the one in its row: see `models.hosts.twins`."""

    __tablename__ = "vm_twin"
    __table_args__ = (Index("ix_vm_twin_host", "host_id"),)

    vm_id: Mapped[UUID] = mapped_column(ForeignKey("vm.id", ondelete="CASCADE"), primary_key=True)
    host_id: Mapped[UUID] = mapped_column(ForeignKey("host.id"), primary_key=True)
    state: Mapped[VmState] = mapped_column(words(VmState, "state"))
    reason: Mapped[str]
    #: Since when it has been seen to run there, or not to.
    since: Mapped[datetime]
    seen_at: Mapped[datetime]
    #: When it was found that it runs there while its own host has it running too.
    on_two_at: Mapped[datetime | None]


class Volume(Base):
    """One disk of a VM. `why_not` says why it is left out of snapshots; NULL if it is snapshotted."""

    __tablename__ = "volume"

    vm_id: Mapped[UUID] = mapped_column(ForeignKey("vm.id", ondelete="CASCADE"), primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str]
    format: Mapped[str]
    storage: Mapped[str]
    virtual_bytes: Mapped[int]
    size_bytes: Mapped[int]
    why_not: Mapped[str | None]
    #: Images the VM opens for this volume, its own first one included; 0 if that is not known.
    depth: Mapped[int] = mapped_column(server_default="0")
    #: The folder for its layers, and the bytes that were free there.
    home: Mapped[str | None]
    free_bytes: Mapped[int | None]
    #: The storage that it is on: with its host before it, but for one that several hosts may have; and its size.
    storage_id: Mapped[str | None]
    total_bytes: Mapped[int | None]


class Layer(Base):
    """One image file of a volume's tree. The row lives as long as the file is seen.

    A path is unique per VM, not per host: a VM that was defined anew under another uuid stands on the same image.
    """

    __tablename__ = "layer"
    __table_args__ = (
        UniqueConstraint("vm_id", "path", name="uq_layer_path"),
        Index("ix_layer_path", "path"),
        Index("ix_layer_parent", "parent_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    vm_id: Mapped[UUID] = mapped_column(ForeignKey("vm.id", ondelete="CASCADE"))
    target: Mapped[str]
    path: Mapped[str]
    format: Mapped[str]
    backing: Mapped[str | None]
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("layer.id", ondelete="SET NULL"))
    virtual_bytes: Mapped[int]
    size_bytes: Mapped[int]
    is_head: Mapped[bool]
