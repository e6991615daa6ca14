"""The HTTP API for programs: `Producer` and `AsyncProducer`, the same verbs and words as inside the application."""

from stillframe.client.asynchronous import AsyncProducer
from stillframe.client.request import Json
from stillframe.client.sync import Producer

__all__ = ["AsyncProducer", "Json", "Producer"]
