"""Asking for a job: at once, with its end waited for, or only for what it would do."""

from argparse import Namespace

from stillframe.cli import plans, waiting
from stillframe.client import Json, Producer
from stillframe.operations import Operation


def ask(client: Producer, asked: Namespace, operation: Operation) -> int:
    """Asks for it, or with --dry-run for what it would do."""
    if asked.dry_run:
        return plans.shown(client.plan(operation), asked.output)
    job = client.submit(operation, asked.idempotency_key)
    return waiting.watch(client, job, asked.output) if asked.wait else waiting.asked_for(job, asked.output)


def limits(asked: Namespace) -> Json:
    """How long the job may wait and take, as far as it was said."""
    given = {"start_within_s": asked.start_within, "timeout_s": asked.timeout}
    return {name: value for name, value in given.items() if value is not None}
