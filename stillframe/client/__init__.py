"""The HTTP API for programs: `Producer` and `AsyncProducer`, the same verbs and words as inside the application."""

from stillframe.client.asynchronous import AsyncProducer
from stillframe.client.request import Json
from stillframe.client.sync import Producer
from stillframe.errors import StillframeError

#: The names that both had before; to be gone once nothing here uses them.
Client, ProblemError = Producer, StillframeError

__all__ = ["AsyncProducer", "Client", "Json", "ProblemError", "Producer"]
