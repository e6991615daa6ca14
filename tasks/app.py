"""The Celery app and its settings: messages are wake-ups, so they may be lost or doubled, and a job's row may not.

Acknowledged early and never prefetched: a message redelivered during a long job, or stranded behind one, is thereby
ruled out, and a restart of the broker or a killed connection ends no worker.
"""

from typing import Any

from celery import Celery

from tasks.routing import PRIORITY_STEPS, UNROUTED_QUEUE


def make_app(broker_url: str, consumer: str | None = None) -> Celery:
    """An app on this broker. `consumer` is the name of the one host (or `control`) whose queue its workers read.

    Each consumer keeps the messages it has in hand under keys of its own: else every worker of the fleet could see,
    and would restore, those of all others.
    """
    app = Celery("stillframe", broker=broker_url, set_as_current=False)
    app.conf.update(
        broker_transport="tasks.letterbox:Transport",
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=False,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        task_default_queue=UNROUTED_QUEUE,
        task_create_missing_queues=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options=_transport(consumer),
        task_publish_retry=False,
        timezone="UTC",
    )
    return app


def _transport(consumer: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "visibility_timeout": 3600,
        "polling_interval": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "priority_steps": PRIORITY_STEPS,
    }
    if consumer is not None:
        keys = ("unacked_key", "unacked_index_key", "unacked_mutex_key")
        options |= {key: f"{key.removesuffix('_key')}.{consumer}" for key in keys}
    return options
