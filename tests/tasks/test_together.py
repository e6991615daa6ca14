"""Many requests that delete overlapping sets at once: each is whole or nothing, and none waits for another for ever."""

import random
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import select

from models.ids import new_id
from models.jobs.tables import Job, JobSnapshot
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.errors import DeletionsRefused
from tasks.producer import Producer
from tests.world import World

pytestmark = [pytest.mark.postgres, pytest.mark.broker]


def test_overlapping_requests_at_once_take_each_snapshot_once(world: World, deaf: Producer) -> None:
    """In any order of ids and VMs: no deadlock, and every snapshot is in one request's jobs or in none."""
    chance = random.Random(new_id().hex)
    ids = [str(world.snapshot(vm)) for vm in (world.vm(name) for name in "abc") for _ in range(4)]
    wanted = [chance.sample(ids, chance.randint(2, 5)) for _ in range(24)]

    def ask(sample: list[str]) -> set[str]:
        try:
            deaf.delete_snapshots(sample, ADMIN)
        except DeletionsRefused:
            return set()
        return set(sample)

    with ThreadPoolExecutor(8) as pool:
        taken = [one for one in pool.map(ask, wanted) if one]

    assert taken
    assert sum(map(len, taken)) == len(set().union(*taken))
    with transaction(world.engine) as session:
        together: list[UUID] = list(session.scalars(select(JobSnapshot.snapshot_id)))
        single = [id_ for id_ in session.scalars(select(Job.snapshot_id)) if id_]
    assert sorted(map(str, [*together, *single])) == sorted(set().union(*taken))
