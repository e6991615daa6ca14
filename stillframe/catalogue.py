"""Every error by its code: what the client, the API's pages and docs/problems.md are made from."""

from collections.abc import Iterator

from stillframe import errors


def _all(family: type[errors.StillframeError]) -> Iterator[type[errors.StillframeError]]:
    yield family
    for one in family.__subclasses__():
        yield from _all(one)


#: Those of `stillframe.errors`; what others derive for themselves has a code of these.
CATALOGUE = {
    one.code: one for one in _all(errors.StillframeError) if one.__module__.startswith(f"{errors.__name__}.")
}


def title_of(error: type[errors.StillframeError]) -> str:
    """A few words that are the same for every error of a code, as RFC 9457 asks: `snapshot: name taken`."""
    return error.code.replace(".", ": ").replace("_", " ")


def meaning_of(error: type[errors.StillframeError]) -> str:
    """Its sentence, with the names of what is filled in."""
    return " ".join((error.__doc__ or "").split())
