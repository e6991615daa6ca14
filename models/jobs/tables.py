"""The tables of jobs and their steps. A job's row is also what is owed to the broker: `published_at IS NULL`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, SmallInteger, func, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Json, quoted, words
from models.ids import new_id
from models.tenants.tables import ADMIN_ACCOUNT
from stillframe.states import ENDED, HELD, JobState, StepState

#: A job in one of these is still to come, going on, or waits for a person; it keeps later jobs of its VM waiting.
UNFINISHED = frozenset(JobState) - ENDED

#: Lower is sooner: what a person waits for comes before what a policy asked for.
INTERACTIVE = 3
SCHEDULED = 6
LOW = 9
#: Of what a policy asks for, by its own word. What it prunes is never low: it makes room.
PRIORITIES = {"normal": SCHEDULED, "low": LOW}


class Job(Base):
    """One operation on one VM. `attempt` is the fencing number: a write of an older attempt changes nothing."""

    __tablename__ = "job"
    __table_args__ = (
        Index(
            "uq_job_held_vm",
            "vm_id",
            unique=True,
            postgresql_where=text(f"state IN ({quoted(HELD)})"),
        ),
        Index(
            "ix_job_line",
            "vm_id",
            "priority",
            "created_at",
            "id",
            postgresql_where=text(f"state IN ({quoted(UNFINISHED)})"),
        ),
        Index(
            "ix_job_owed",
            "priority",
            "created_at",
            postgresql_where=text(f"published_at IS NULL AND state IN ({quoted(HELD | {JobState.QUEUED})})"),
        ),
        Index("ix_job_lease", "lease_until", postgresql_where=text(f"state IN ({quoted(HELD)})")),
        Index("ix_job_expiry", "expires_at", postgresql_where=text("state = 'queued'")),
        Index("ix_job_created", text("created_at DESC"), text("id DESC")),
        Index("ix_job_state", "state", text("created_at DESC"), text("id DESC")),
        Index("ix_job_vm", "vm_id", text("created_at DESC"), text("id DESC")),
        Index("ix_job_host", "host_id", text("created_at DESC"), text("id DESC")),
        Index("ix_job_account", "account_id", text("created_at DESC"), text("id DESC")),
        Index("ix_job_snapshot", "snapshot_id"),
        Index(
            "ix_job_id_end",
            literal_column("reverse(id::text)").label("id_end"),
            postgresql_ops={"id_end": "text_pattern_ops"},
        ),
        Index(
            "ix_job_in_flight",
            "account_id",
            postgresql_where=text("state IN ('queued', 'running', 'undoing')"),
        ),
        Index("ix_job_volume_snapshot", "volume_snapshot_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str]
    state: Mapped[JobState] = mapped_column(words(JobState, "state"), default=JobState.QUEUED)
    phase: Mapped[str | None]
    host_id: Mapped[UUID] = mapped_column(ForeignKey("host.id"))
    vm_id: Mapped[UUID] = mapped_column(ForeignKey("vm.id"))
    vm_name: Mapped[str]
    snapshot_id: Mapped[UUID | None] = mapped_column(ForeignKey("snapshot.id"))
    volume_snapshot_id: Mapped[UUID | None] = mapped_column(ForeignKey("volume_snapshot.id"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    request: Mapped[Json]
    priority: Mapped[int] = mapped_column(SmallInteger, default=INTERACTIVE)
    progress: Mapped[Json | None]
    attempt: Mapped[int] = mapped_column(server_default="0")
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    publish_count: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    requested_by: Mapped[str]
    #: The account that asked. `account_id` is the VM's.
    asker_id: Mapped[UUID] = mapped_column(server_default=str(ADMIN_ACCOUNT))
    #: What it came with, to be shown: what it stands for is in `models.once`.
    idempotency_key: Mapped[str | None]
    #: Written by the version before, read by nobody.
    request_sha256: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error: Mapped[Json | None]
    #: What it came to, of those that make nothing: bytes freed.
    result: Mapped[Json | None]
    #: Not begun by then, it expires.
    expires_at: Mapped[datetime | None]
    #: Since when it can only go forward: neither a cancel nor a rollback is possible any more.
    no_return_at: Mapped[datetime | None]
    #: How many workers died holding it, since it was begun or a person resumed it.
    deaths: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: The request it goes back to: request_id, and traceparent if that had one; of what a policy asked for, the tick.
    trace: Mapped[Json | None]
    #: What a person decided when it was stuck: action, actor, at, note. Read by the worker that takes it up.
    recovery: Mapped[Json | None]


class JobSnapshot(Base):
    """One of the snapshots that a job deletes together; a job about one names it in its own row."""

    __tablename__ = "job_snapshot"
    __table_args__ = (Index("ix_job_snapshot_snapshot", "snapshot_id"),)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    snapshot_id: Mapped[UUID] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    #: Why it was left out when the job began: that snapshot stays as it is.
    spared: Mapped[Json | None]


class Step(Base):
    """What is known of one step of a job's plan: its intent is here before the machine is touched."""

    __tablename__ = "step"
    __table_args__ = (Index("uq_step_name", "job_id", "name", unique=True),)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    name: Mapped[str]
    state: Mapped[StepState] = mapped_column(words(StepState, "state"))
    attempt: Mapped[int]
    output: Mapped[Json] = mapped_column(server_default="{}")
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
