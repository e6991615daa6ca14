"""What every error has, and the families: what the reader must do about it."""

from collections.abc import Mapping
from typing import Any, Self


class StillframeError(Exception):
    """Something went wrong that Stillframe has no better word for: {detail}"""

    code: str = "internal"
    remedy: str = "Look at the job's events and evidence; if they do not explain it, report it."
    #: The HTTP status it came with; 0 for one that was raised here.
    status: int = 0
    _told: str | None = None

    def __init__(self, **context: Any) -> None:
        self.context = context
        super().__init__(self.detail)

    @classmethod
    def from_json(cls, told: Mapping[str, Any], status: int = 0) -> Self:
        """The error that another process told of, in that one's words: its version may word it otherwise."""
        error = cls.__new__(cls)
        error.code, error.remedy, error.status = str(told["code"]), str(told.get("remedy") or ""), status
        error._told = str(told["detail"])
        error.context = dict(told.get("evidence") or {})
        error.args = (error._told,)
        return error

    @property
    def detail(self) -> str:
        """One plain sentence that says what is wrong, with the names and numbers of this case."""
        if self._told is not None:
            return self._told
        template = " ".join((self.__doc__ or "").split())
        try:
            return template.format_map(self.context)
        except KeyError:
            return template

    def to_json(self) -> dict[str, Any]:
        """The form in which an error is kept on a job and shown to people."""
        remedy = self.remedy if self._told is not None else self.remedy.format_map(_Blank(self.context))
        return {
            "code": self.code,
            "detail": self.detail,
            "remedy": remedy,
            "evidence": self.evidence,
        }

    @property
    def evidence(self) -> dict[str, Any]:
        """The names and numbers of this case, as plain JSON values."""
        return {key: _plain(value) for key, value in self.context.items()}


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class NotFound(StillframeError):
    """There is no such thing: {what}"""

    code = "not_found"
    remedy = "Check the name or id."


class Invalid(StillframeError):
    """The request cannot be understood: {detail}"""

    code = "request.invalid"
    remedy = "Correct the request and ask again."


class Refused(StillframeError):
    """This cannot be done as things stand: {detail}"""

    code = "refused"
    remedy = "Change what blocks it and ask again."


class NotNow(StillframeError):
    """Something else is in the way for the moment: {detail}"""

    code = "not_now"
    remedy = "Nothing was done; ask again in a while."


class HypervisorFailed(StillframeError):
    """libvirt or QEMU failed: {detail}"""

    code = "hypervisor.failed"
    remedy = "The evidence holds what the machine said and how it was found afterwards."
