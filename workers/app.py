"""The worker of one hypervisor: binds bodies to wire names. `celery -A workers.app worker -Q host.<name>`

This module is a composition root: it reads the settings when it is imported. Connections are made after the fork.
"""

import logging
import subprocess
import sys
import threading
import time
from functools import cache
from typing import Any
from uuid import UUID

from celery import Celery
from celery.signals import worker_ready

from hypervisor.libvirt_host import LibvirtHost
from models.jobs.journal import Journal
from models.session import make_engine
from stillframe.settings import Settings
from stillframe.states import JobState
from stillframe.trace import in_logs
from tasks.app import make_app
from tasks.messages import JOB_MESSAGES
from tasks.publish import Publisher
from workers.run_job import Hands, run_job

logger = logging.getLogger(__name__)

settings = Settings.from_env()
app: Celery = make_app(settings.broker_url, consumer=settings.host)
app.conf.worker_log_format = "[%(asctime)s: %(levelname)s/%(processName)s]%(trace)s %(message)s"
in_logs()


@cache
def _hands() -> Hands:
    """Of this process, made by its first job, hence after the fork."""
    engine = make_engine(settings.database_url, pool_size=2, name=f"stillframe worker {settings.host}")
    host = LibvirtHost(
        settings.libvirt_uri, settings.host, settings.agent_timeout_s, settings.definitions_folder
    )
    return Hands(settings, Journal(engine), lambda: host, Publisher(engine, app).next_of_vm)


class DidNotSucceed(Exception):
    """A job that failed or is stuck: its row says all; raised so that whoever watches the queue sees it as well."""


def _carry_out(job_id: str, **_words_for_people: Any) -> str | None:
    attempt = run_job(UUID(job_id), _hands())
    if attempt and attempt.state in {JobState.FAILED, JobState.STUCK}:
        raise DidNotSucceed(f"{attempt.state}: {(attempt.error or {}).get('detail')}")
    return attempt.state if attempt else None


for wire_name in JOB_MESSAGES.values():
    app.task(_carry_out, name=wire_name, throws=(DidNotSucceed,))


@worker_ready.connect
def _begin_keeping(**_: Any) -> None:
    threading.Thread(target=_keep, name="keeper", daemon=True).start()


def _keep() -> None:
    """Runs the keeper beside the worker, again if it ends; it dies with this process, however that ends."""
    while True:
        ended = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "workers.keeper"], check=False
        )
        logger.error("the keeper ended with exit code %s; it is begun again", ended.returncode)
        time.sleep(1.0)
