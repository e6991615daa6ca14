"""Errors that only HTTP has: wrong routes, bodies that cannot be read, a view that is no longer true."""

from stillframe.errors import Invalid, NotFound, StillframeError


class RouteNotFound(NotFound):
    """There is nothing at {path}."""

    code = "request.route_not_found"
    remedy = "/docs lists what there is."


class MethodNotAllowed(Invalid):
    """{path} does not understand {method}."""

    code = "request.method_not_allowed"
    remedy = "The Allow header says which methods it knows; /docs lists them all."


class BodyNotJson(Invalid):
    """The body cannot be read as JSON: {why}."""

    code = "request.body_not_json"
    remedy = "Send one JSON object in UTF-8 with `Content-Type: application/json`."


class BodyTooLarge(Invalid):
    """The body is larger than {limit_bytes} bytes."""

    code = "request.body_too_large"
    remedy = "Send less."


class RequestNotValid(Invalid):
    """The request cannot be understood: {summary}."""

    code = "request.invalid"
    remedy = "The evidence names each wrong field; /docs shows what is expected."


class DatabaseUnavailable(StillframeError):
    """The database does not answer."""

    code = "database.unavailable"
    remedy = "Nothing is lost; ask again in a while. /readyz tells when it is back."


class MigrationsMissing(StillframeError):
    """The database does not have the tables of this version."""

    code = "database.migrations_missing"
    remedy = "Run `python -m models upgrade`."
