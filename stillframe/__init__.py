"""The words of Stillframe, and what other services import: nothing here knows SQL, Celery or libvirt.

`stillframe.Producer` and `stillframe.AsyncProducer` ask a Stillframe over HTTP.
"""

__version__ = "0.1.0"

#: `typing` is left out, and the two are loaded when they are named: `stillframe --help` imports this too.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from stillframe.client import AsyncProducer, Producer

__all__ = ["AsyncProducer", "Producer", "__version__"]


def __getattr__(name: str) -> object:
    if name in ("AsyncProducer", "Producer"):
        from stillframe import client

        return getattr(client, name)
    raise AttributeError(f"module 'stillframe' has no attribute {name!r}")
