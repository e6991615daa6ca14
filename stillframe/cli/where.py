"""Where the API is and with which key: of the environment, else of the stack whose folder one stands in."""

import os
from dataclasses import dataclass
from pathlib import Path

from stillframe.cli.usage import Usage
from stillframe.client import Json
from stillframe.settings import Settings

URL, KEY = "STILLFRAME_URL", "STILLFRAME_KEY"
STACK = Path("var", "stack.env")
BOTH = (
    f"{URL} says where the API is, and {KEY} holds the key it asks for. `make up` in a checkout of Stillframe writes "
    f"both into {STACK}, where they are found from that folder and those below it."
)


@dataclass(frozen=True)
class Where:
    """An address and a key. `file` is the stack.env that gave the address, None if it did not come from one."""

    url: str
    key: str
    file: Path | None

    @classmethod
    def find(cls) -> "Where":
        """Raises Usage when a setting cannot be read."""
        file = _stack_env(Path.cwd())
        given = _read(file) if file else {}
        if URL in os.environ:  # the key of one API is not sent to another
            file = None
            given.pop(KEY, None)
        try:
            settings = Settings.from_env({**given, **os.environ})
        except ValueError as error:
            raise Usage(detail=f"{error}.") from error
        return cls(settings.url, settings.key, file)

    def __str__(self) -> str:
        """In few words, for people."""
        return f"{self.url} ({self._shown})" if self.file else self.url

    def advice(self, problem: Json) -> Json:
        """The problem with the remedy that fits how the API was found."""
        remedy = problem["remedy"]
        if problem["code"] in {"api.unreachable", "key.missing"} and not self.file and URL not in os.environ:
            remedy = BOTH
        elif problem["code"] == "api.unreachable" and self.file:
            remedy = f"{self._shown} names it: `make up` in {self.file.parent.parent} starts it."
        elif problem["code"] == "key.refused" and self.file and KEY not in os.environ:
            remedy = f"The key is that of {self._shown}: another API answers there, or its database is new."
        return {**problem, "remedy": remedy}

    @property
    def _shown(self) -> str:
        here = self.file is not None and self.file.parent.parent == Path.cwd()
        return str(STACK if here else self.file)


def _stack_env(folder: Path) -> Path | None:
    """What `make up` wrote, here or in the nearest folder above."""
    return next(
        (place / STACK for place in (folder, *folder.parents) if os.access(place / STACK, os.R_OK)), None
    )


def _read(file: Path) -> dict[str, str]:
    lines = (line.strip().removeprefix("export ") for line in file.read_text("utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}
