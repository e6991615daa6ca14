"""The verbs for `await`, from those for threads: the same text with another colour."""

import re

_CHANGES = (
    (r"^(    def (?!_))", lambda match: "    async def "),
    (r"\breturn self\.(?=_ask|submit)", lambda match: "return await self."),
    (r"\bpage\(\*\*filters\)", lambda match: "await page(**filters)"),
    (r"^( +)yield from (.+)$", lambda match: f"{match[1]}for item in {match[2]}:\n{match[1]}    yield item"),
    (r"Callable\[\.\.\., (Page\[Item\])\]", lambda match: f"Callable[..., Awaitable[{match[1]}]]"),
    (r"\bIterator\b", lambda match: "AsyncIterator"),
    (r"import Callable, AsyncIterator", lambda match: "import AsyncIterator, Awaitable, Callable"),
    (r"stillframe\.client\.verbs\.base", lambda match: "stillframe.client.verbs.awaited.base"),
    (r"^    def _", lambda match: "    async def _"),
    (r"`Producer`", lambda match: "`AsyncProducer`"),
)


def awaited(source: str, name: str) -> str:
    """A module of `verbs`, for an event loop."""
    for pattern, change in _CHANGES:
        source = re.sub(pattern, change, source, flags=re.M)
    said = (
        f'"""Made by `make made` from verbs/{name}.py: the same, to be awaited. Not to be changed by hand."""'
    )
    return re.sub(r'\A""".*?"""', lambda _: said, source, flags=re.S)
