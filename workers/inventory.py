"""Reading a whole host and making its rows true."""

from sqlalchemy import Engine

from hypervisor.port import Host
from models.hosts.machine import heartbeat, record_host
from models.session import transaction
from stillframe.settings import Settings
from workers.reading import read_host


def take_inventory(engine: Engine, host: Host, settings: Settings) -> None:
    """VMs that a job records while this looks are left as the job saw them."""
    with transaction(engine) as session:
        before = heartbeat(session, settings.host)
    seen = read_host(host, settings.block_layers_folder)
    with transaction(engine) as session:
        record_host(session, seen, before)
