"""What there is for the tick to do, asked in one statement: most ticks find nothing, and cost no more than that."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from models.policies.settle import IS_NEWS

_AGENDA = f"""
    SELECT
        EXISTS (SELECT FROM firing JOIN job ON job.id = firing.job_id WHERE {IS_NEWS}) AS ended,
        EXISTS (SELECT FROM policy_schedule WHERE next_at <= now()) AS due,
        EXISTS (SELECT FROM firing WHERE state = 'waiting' AND due_at <= now()) AS waiting,
        EXISTS (SELECT FROM policy_vm WHERE prune_due_at <= now()) AS to_prune,
        EXISTS (SELECT FROM firing WHERE extract_due_at <= now()) AS to_extract,
        EXISTS (SELECT FROM policy_vm WHERE volumes_due_at <= now()) AS volumes_to_prune
"""  # noqa: S608


@dataclass(frozen=True)
class Agenda:
    """Whether jobs of firings have ended, schedules are due, firings wait whose time has come, volumes are to be extracted, and
    what VMs have of a policy, snapshots or volumes, is to be looked through.
    """

    ended: bool
    due: bool
    waiting: bool
    to_prune: bool
    to_extract: bool
    volumes_to_prune: bool


def agenda(engine: Engine) -> Agenda:
    """As it is at this moment; outside of any transaction, which would be two more ways to the database."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return Agenda(**connection.execute(text(_AGENDA)).one()._mapping)
