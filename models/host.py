"""The table of hypervisors."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.ids import new_id


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
