"""From a problem as it came over HTTP to the error class of its code."""

from http import HTTPStatus

from stillframe import errors
from stillframe.catalogue import CATALOGUE
from stillframe.client.request import Json

_NOT_OURS = "Check STILLFRAME_URL: this does not look like the Stillframe API."
#: What a code that this version does not know means to who asked.
_FAMILY: dict[int, type[errors.StillframeError]] = {
    400: errors.Invalid,
    401: errors.KeyRefused,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.Invalid,
    409: errors.Refused,
    412: errors.Refused,
    413: errors.Invalid,
    422: errors.Invalid,
}


def error_of(problem: Json, status: int) -> errors.StillframeError:
    """The error of the problem's code, in the API's own words; of a code that is not known here the nearest family."""
    told = {
        "code": problem.get("code") or f"http.{status}",
        "detail": problem.get("detail") or f"The API answered {status} {_phrase(status)}.",
        "remedy": problem.get("remedy") or _NOT_OURS,
        "evidence": problem.get("evidence"),
    }
    family = _FAMILY.get(status, errors.StillframeError)
    return CATALOGUE.get(str(told["code"]), family).from_json(told, status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "which HTTP does not know"
