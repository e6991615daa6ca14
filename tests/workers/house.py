"""One host of the fake machine with one VM, real rows, and the rescans that make the two agree."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select

from hypervisor.fake import FakeHost
from models.events.tables import Event
from models.hosts.rescans import ask
from models.jobs.journal import Journal
from models.queries.rescans import rescan
from models.session import transaction
from models.snapshots.tables import Snapshot
from models.tenants.actor import ADMIN
from stillframe.names import home_of
from stillframe.operations import DeleteSnapshot
from stillframe.settings import Settings
from stillframe.states import JobState, RescanState
from tasks.app import make_app
from tasks.producer import Producer
from tests.workers.fake_world import BLOCK_FOLDER, World, ok
from workers.inventory import take_inventory
from workers.rescans import Rescans
from workers.run_job import Hands, run_job


class House:
    """One host with one VM, its rows, and its rescans."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.settings = Settings(host="h1", lock_folder=str(folder), block_layers_folder=BLOCK_FOLDER)
        self.world = World()
        self.rescans = Rescans(self.settings, engine, lambda: FakeHost(self.world.machine, "h1"))
        self.home = home_of("/images/vm1/vda.qcow2", self.world.guest.uuid)

    def take(self, name: str, kind: str = "hot") -> UUID:
        """A snapshot that only the machine knows of; its id."""
        self.world.guest.tick()
        ok(self.world.create(name, kind).to_the_end())
        self.world.guest.tick()
        return self.world.ids[name]

    def rescan(
        self, vm: str | None = None, *, adopt: bool = False, repair: bool = False
    ) -> list[dict[str, Any]]:
        """Asked for and carried out; what it found."""
        take_inventory(self.engine, FakeHost(self.world.machine, "h1"), self.settings)
        with transaction(self.engine) as session:
            id_ = ask(session, "h1", vm, ADMIN, adopt=adopt, repair=repair)
        assert self.rescans.run_next()
        found = self.row(id_)
        assert found["state"] is RescanState.DONE, found["error"]
        return list(found["findings"])

    def row(self, id_: UUID) -> dict[str, Any]:
        """A rescan as it is shown."""
        with self.engine.connect() as connection:
            return rescan(connection, ADMIN, "h1", id_, timedelta(minutes=1))

    def drift(self) -> list[str]:
        """What a look that changes nothing finds still to be put right."""
        return [one["kind"] for one in self.rescan() if one["drift"]]

    def snapshots(self) -> dict[UUID, Snapshot]:
        """All rows."""
        with transaction(self.engine) as session:
            return {row.id: row for row in session.scalars(select(Snapshot))}

    def events(self, type_: str) -> list[Event]:
        """Those of a type, oldest first."""
        with transaction(self.engine) as session:
            return list(session.scalars(select(Event).where(Event.type == type_).order_by(Event.id)))

    def ask_to_delete(self, snapshot: UUID) -> UUID:
        """A deletion, asked for while the broker is away; its job."""
        producer = Producer(self.engine, make_app("redis://127.0.0.1:1/0"))
        return producer.submit(DeleteSnapshot(snapshot_id=str(snapshot)), ADMIN).job_id

    def run(self, job: UUID) -> JobState | None:
        """A message for the job arrives at this host's worker; how the job ended there."""
        host = FakeHost(self.world.machine, "h1")
        done = run_job(job, Hands(self.settings, Journal(self.engine), lambda: host, lambda _: None))
        return done.state if done else None

    def delete(self, snapshot: UUID) -> None:
        """A deletion by a real job, to its good end."""
        assert self.run(self.ask_to_delete(snapshot)) is JobState.SUCCEEDED

    def lose(self, snapshot: UUID) -> str:
        """Its folder is moved away by hand, and a rescan says so in its row; where the folder was."""
        folder = self.world.folder(snapshot) or ""
        self.world.host.images.rename(folder, "/elsewhere")
        self.rescan(repair=True)
        return folder
