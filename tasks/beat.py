"""The clock of the control side: `celery -A tasks.beat beat`. It sends ticks and decides nothing.

It knows neither rows nor libvirt, so it is small, starts at once, and may run twice. This module is a composition
root: it reads the settings when it is imported.
"""

from celery import Celery

import beat_schedule
from stillframe.settings import Settings
from tasks.app import make_app
from tasks.routing import CONTROL_QUEUE

app: Celery = make_app(Settings.from_env().broker_url)
app.conf.beat_schedule = {
    entry: {
        "task": tick.message,
        "schedule": tick.every_s,
        # A tick that could not run before the next one is due is worth nothing.
        "options": {"queue": CONTROL_QUEUE, "expires": tick.every_s},
    }
    for entry, tick in beat_schedule.SCHEDULE.items()
}
