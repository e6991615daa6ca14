"""The tables of policies, their schedules, and their firings."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ForeignKey, Index, SmallInteger, and_, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Json, words
from models.ids import new_id
from models.tenants.actor import Actor
from models.tenants.scope import mine, no_wider
from stillframe.rights import Role


class FiringState(StrEnum):
    #: Its turn has come, or comes when its jitter is over and the guards allow it.
    WAITING = "waiting"
    #: It is a job; how that goes is on the job.
    ASKED = "asked"
    #: Its job is stuck until a person decides; what comes of it then becomes of the firing too.
    STUCK = "stuck"
    #: Its job has ended well, or not.
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: A guard, an overlap or a blackout was in the way: nothing was asked.
    SKIPPED = "skipped"
    #: Nobody looked in time, or its turn did not come in time.
    MISSED = "missed"
    #: The request was refused, with the refusal as reason.
    REFUSED = "refused"


class Policy(Base):
    """What was asked for is in `spec`; the selector's parts stand apart so that VMs are found in one statement."""

    __tablename__ = "policy"
    __table_args__ = (
        Index(
            "uq_policy_live_name",
            "account_id",
            "name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("ix_policy_name", "name", "id", postgresql_where=text("deleted_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"))
    #: How far its maker saw when it was made: it means no VM beyond that, whatever its selector says.
    role: Mapped[Role] = mapped_column(words(Role, "role"), server_default=Role.USER.value)
    name: Mapped[str]
    spec: Mapped[Json]
    enabled: Mapped[bool] = mapped_column(server_default="true")
    paused_until: Mapped[datetime | None]
    suspended_at: Mapped[datetime | None]
    suspended_reason: Mapped[str | None]
    of_ids: Mapped[list[UUID] | None]
    #: LIKE patterns.
    of_names: Mapped[list[str] | None]
    of_tags: Mapped[list[str] | None]
    of_account_id: Mapped[UUID | None] = mapped_column(ForeignKey("account.id"))
    #: The domain's path; its whole subtree is meant.
    of_domain: Mapped[str | None]
    of_host_id: Mapped[UUID | None] = mapped_column(ForeignKey("host.id"))
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


def my_policies(actor: Actor, one: Any = Policy) -> ColumnElement[bool]:
    """Policies that the actor sees: of the accounts it sees, those that reach no further than it does."""
    return and_(mine(actor, one.account_id), no_wider(actor, one.role))


class PolicySchedule(Base):
    """One schedule. `mark` is the newest instant that was decided about; `next_at` is NULL while nothing is to come."""

    __tablename__ = "policy_schedule"
    __table_args__ = (
        Index("ix_policy_schedule_due", "next_at", postgresql_where=text("next_at IS NOT NULL")),
        Index("ix_policy_schedule_policy", "policy_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    policy_id: Mapped[UUID] = mapped_column(ForeignKey("policy.id"))
    spec: Mapped[Json]
    mark: Mapped[datetime]
    next_at: Mapped[datetime | None]
    #: An instant that has fired for some of its VMs, up to this one, and goes on with those behind it.
    half_at: Mapped[datetime | None]
    half_behind: Mapped[UUID | None]
    #: Replaced by another when the policy was edited; its firings stay.
    retired_at: Mapped[datetime | None]


class PolicyVm(Base):
    """How one VM fares under a policy, and when its snapshots are to be looked through next."""

    __tablename__ = "policy_vm"
    __table_args__ = (
        Index("ix_policy_vm_prune", "prune_due_at", postgresql_where=text("prune_due_at IS NOT NULL")),
        Index("ix_policy_vm_volumes", "volumes_due_at", postgresql_where=text("volumes_due_at IS NOT NULL")),
        Index("ix_policy_vm_set_aside", "policy_id", postgresql_where=text("set_aside_at IS NOT NULL")),
    )

    policy_id: Mapped[UUID] = mapped_column(ForeignKey("policy.id"), primary_key=True)
    vm_id: Mapped[UUID] = mapped_column(ForeignKey("vm.id"), primary_key=True)
    #: The newest moments of which it has a snapshot, and for which its job came to nothing.
    last_good_at: Mapped[datetime | None]
    last_bad_at: Mapped[datetime | None]
    #: Moments since the last good one whose jobs failed or are stuck; none up to `counted_from`, when a person resumed it.
    failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    counted_from: Mapped[datetime | None]
    #: Since when and why nothing of this policy is taken of it.
    set_aside_at: Mapped[datetime | None]
    set_aside_reason: Mapped[str | None]
    prune_due_at: Mapped[datetime | None]
    #: Why the last deletion that it asked for was refused; told once.
    prune_refusal: Mapped[str | None]
    #: When the volumes that it had extracted are to be looked through next.
    volumes_due_at: Mapped[datetime | None]
    #: Why the last deletion of one of them was refused, told once; and how often in a row.
    volumes_refusal: Mapped[str | None]
    volumes_refused: Mapped[int] = mapped_column(SmallInteger, server_default="0")


class Firing(Base):
    """One due moment of one VM, or (`vm_id` NULL) of a policy that had none, or several moments that were missed together."""

    __tablename__ = "firing"
    __table_args__ = (
        Index(
            "uq_firing_moment",
            "schedule_id",
            "vm_id",
            "nominal_at",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_firing_waiting", "due_at", postgresql_where=text("state = 'waiting'")),
        Index("ix_firing_asked", "job_id", postgresql_where=text("state IN ('asked', 'stuck')")),
        Index("ix_firing_policy", "policy_id", text("nominal_at DESC"), text("id DESC")),
        Index("ix_firing_vm", "vm_id", text("nominal_at DESC")),
        Index("ix_firing_extract", "extract_due_at", postgresql_where=text("extract_due_at IS NOT NULL")),
        Index("ix_firing_job", "job_id", postgresql_where=text("job_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    policy_id: Mapped[UUID] = mapped_column(ForeignKey("policy.id"))
    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("policy_schedule.id"))
    vm_id: Mapped[UUID | None] = mapped_column(ForeignKey("vm.id"))
    nominal_at: Mapped[datetime]
    #: The last of the moments, where several were missed together.
    until_at: Mapped[datetime | None]
    moments: Mapped[int] = mapped_column(server_default="1")
    #: Nominal and jitter.
    due_at: Mapped[datetime]
    #: Not asked by then, it is missed.
    give_up_at: Mapped[datetime | None]
    state: Mapped[FiringState] = mapped_column(words(FiringState, "state"))
    reason: Mapped[str | None]
    #: The person who had it fire, besides its schedules.
    asked_by: Mapped[str | None]
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("job.id"))
    #: From then on volumes of its snapshot are to be extracted; NULL if none is, or it was asked for.
    extract_due_at: Mapped[datetime | None]
    decided_at: Mapped[datetime] = mapped_column(server_default=func.now())
