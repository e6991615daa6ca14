"""The tables of hypervisors, and of the looks at them that people asked for."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Json, words
from models.ids import new_id
from stillframe.states import RescanState


class Host(Base):
    """One hypervisor: it registers itself when its worker starts, and is alive while `last_seen_at` is fresh."""

    __tablename__ = "host"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    libvirt_version: Mapped[str] = mapped_column(server_default="")
    qemu_version: Mapped[str] = mapped_column(server_default="")
    cpus: Mapped[int] = mapped_column(server_default="0")
    memory_bytes: Mapped[int] = mapped_column(server_default="0")
    registered_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Since when no new job is accepted or begun here; NULL if it takes jobs.
    drained_at: Mapped[datetime | None]
    drained_by: Mapped[str | None]
    drain_reason: Mapped[str | None]


class Rescan(Base):
    """A look at a whole host: what is not as rows say, and what was done about it. `findings` is {"findings": [...]}."""

    __tablename__ = "rescan"
    __table_args__ = (
        Index("ix_rescan_open", "host_id", postgresql_where=text("state IN ('asked', 'running')")),
        Index("ix_rescan_host", "host_id", text("created_at DESC"), text("id DESC")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    host_id: Mapped[UUID] = mapped_column(ForeignKey("host.id"))
    #: Of this VM only; NULL means all that the host has.
    vm_id: Mapped[UUID | None] = mapped_column(ForeignKey("vm.id"))
    state: Mapped[RescanState] = mapped_column(words(RescanState, "state"), default=RescanState.ASKED)
    #: Whether snapshots that no row knows are to be taken into the rows.
    adopt: Mapped[bool] = mapped_column(server_default="false")
    #: Whether what is safe to put right is to be put right.
    repair: Mapped[bool] = mapped_column(server_default="false")
    requested_by: Mapped[str]
    findings: Mapped[Json | None]
    error: Mapped[Json | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
