"""A hypervisor's worker and keeper on a fake machine: `celery -A tests.storm.fake_worker worker -P threads`.

The bodies, the journal and the queue are the real ones; only the machine never was. Its VMs are those that the crowd
asks about, and run.
"""

import threading
from typing import Any
from uuid import UUID, uuid5

from celery import Celery
from celery.signals import worker_ready

from hypervisor.fake import FakeHost, FakeMachine
from models.jobs.journal import Journal
from models.session import make_engine
from stillframe.settings import Settings
from tasks.app import make_app
from tasks.messages import JOB_MESSAGES
from tasks.publish import Publisher
from tests.storm.crowd import NAMES
from workers.keeper import Keeper
from workers.run_job import Hands, run_job

_SPACE = UUID("5f0e0e5c-7d57-4b0e-9a7e-0a4a55c5b0de")

settings = Settings.from_env()
app: Celery = make_app(settings.broker_url, consumer=settings.host)
machine = FakeMachine()
for name in NAMES:
    machine.create_vm(name, {"vda": "qcow2"}, uuid=uuid5(_SPACE, name))
engine = make_engine(settings.database_url, pool_size=10, name="stillframe fake worker")
publisher = Publisher(engine, app)
hands = Hands(settings, Journal(engine), lambda: FakeHost(machine, settings.host), publisher.next_of_vm)


def _carry_out(job_id: str, **_: Any) -> str | None:
    attempt = run_job(UUID(job_id), hands)
    return attempt.state if attempt else None


for wire_name in JOB_MESSAGES.values():
    app.task(_carry_out, name=wire_name)


@worker_ready.connect
def _begin_keeping(**_: Any) -> None:
    keeper = Keeper(
        settings, engine, FakeHost(machine, settings.host), lambda: publisher.all_owed(host=settings.host)
    )
    threading.Thread(target=keeper.run, name="keeper", daemon=True).start()
