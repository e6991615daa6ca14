"""What a verb stands on: one request, brought to its answer. Which answer it is, the verb's own type says."""

from typing import Any

from stillframe.client.request import Request


class Verbs:
    """Made whole by `Producer`."""

    def _ask(self, request: Request) -> Any:
        raise NotImplementedError

    def _ask_until_over(self, path: str, timeout_s: float | None) -> Any:
        raise NotImplementedError
