"""Made by `make made` from verbs/base.py: the same, to be awaited. Not to be changed by hand."""

from typing import Any

from stillframe.client.request import Request


class Verbs:
    """Made whole by `AsyncProducer`."""

    async def _ask(self, request: Request) -> Any:
        raise NotImplementedError

    async def _ask_until_over(self, path: str, timeout_s: float | None) -> Any:
        raise NotImplementedError
