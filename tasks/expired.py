"""Snapshots whose `expires_at` is over are asked to be deleted, like by a person, but behind what people wait for."""

from uuid import UUID

from sqlalchemy import Engine

from models.jobs.asking import vms_of
from models.jobs.tables import SCHEDULED
from models.session import transaction
from models.snapshots.expired import ACTOR, asked, expired, refused, take
from models.tenants import quota
from models.tenants.actor import ADMIN, Actor
from stillframe.errors import StillframeError
from stillframe.operations import DeleteSnapshot
from stillframe.rights import Role
from tasks.producer import Producer


def ask_for_deletions(engine: Engine, producer: Producer) -> int:
    """Asks; returns for how many. Two who do it at once ask once. What it asks for is owed its message afterwards."""
    with transaction(engine) as session:
        due = expired(session)
    return sum(_ask(engine, producer, one) for one in due)


def _ask(engine: Engine, producer: Producer, id_: UUID) -> bool:
    with transaction(engine) as session:
        quota.take_turn(session, vms_of(session, ADMIN, [str(id_)]))
        snapshot = take(session, id_)
        if snapshot is None:
            return False
        actor = Actor(name=ACTOR, account_id=snapshot.account_id, role=Role.USER)
        try:
            with session.begin_nested():
                producer.write_down(session, DeleteSnapshot(snapshot_id=str(id_)), actor, SCHEDULED)
        except StillframeError as refusal:
            refused(session, snapshot, refusal.detail)
            return False
        asked(snapshot)
        return True
