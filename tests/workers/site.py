"""One host with one VM, on the fake machine and with real rows, where jobs are asked for and carried as in the whole."""

from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from hypervisor.fake import FakeHost, FakeMachine
from models.hosts.machine import record_host
from models.jobs.attempt import Attempt
from models.jobs.journal import Journal
from models.session import transaction
from models.tenants.actor import ADMIN
from stillframe.operations import CreateSnapshot, Operation
from stillframe.settings import Settings
from stillframe.states import VmState
from tasks.app import make_app
from tasks.producer import Producer
from tests.given import given
from workers.reading import read_host
from workers.run_job import Hands, run_job

FOLDER = "/images"


def away() -> OperationalError:
    """What a call raises whose answer was lost."""
    return OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))


class Site:
    """A hypervisor, its rows, and a worker of it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.machine = FakeMachine()
        self.settings = Settings(
            host="h1", lock_folder=f"{folder}/l", watch_folder=f"{folder}/w", block_layers_folder=FOLDER
        )
        self.guest = self.machine.create_vm("web")
        with transaction(engine) as session:
            record_host(session, read_host(self._host(), FOLDER))
        self.producer = Producer(engine, make_app("redis://127.0.0.1:1/0"))
        self.journal = Journal(engine)

    def ask(self, operation: Operation) -> UUID:
        """A job."""
        return self.producer.submit(operation, ADMIN).job_id

    def run(self, job: UUID) -> Attempt | None:
        """A message for it arrives at a worker."""
        fake = self._host()
        return run_job(job, Hands(self.settings, self.journal, lambda: fake, lambda _: None))

    def snapshot(self) -> UUID:
        """A hot snapshot of the VM."""
        done = given(self.run(self.ask(CreateSnapshot(vm=str(self.guest.uuid), name="s", type="hot"))))
        return given(done.snapshot_id)

    def heads(self) -> list[str]:
        """What the VM writes to."""
        return [volume.path for volume in self._host().vm(self.guest.uuid).facts().volumes]

    def state(self) -> VmState:
        """Whether it runs."""
        return self._host().vm(self.guest.uuid).facts().state

    def files(self) -> set[str]:
        """All that lies on the host."""
        with self.machine.world() as inside:
            return set(inside.files)

    def _host(self) -> FakeHost:
        return FakeHost(self.machine, self.settings.host)
