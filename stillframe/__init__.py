"""The words of Stillframe, and what other services import: nothing here knows SQL, Celery or libvirt."""

__version__ = "0.1.0"
