"""Requests that cannot be read, and answers that cannot be had."""

from stillframe.errors.families import Invalid, NotFound, NotNow, StillframeError


class NameInvalid(Invalid):
    """ "{name}" cannot be the name of a {what}: {why}."""

    code = "name.invalid"
    remedy = (
        "A name has 1 to 64 of the characters a-z A-Z 0-9 . _ - and begins with a letter or digit. "
        "Any other words (Hangul, spaces, ...) go into the display name."
    )


class DisplayNameInvalid(Invalid):
    """The display name cannot be used: {why}."""

    code = "display_name.invalid"
    remedy = "A display name has 1 to 255 characters of any script, without control characters."


class IdempotencyMismatch(Invalid):
    """The idempotency key "{key}" was used before for a different request."""

    code = "idempotency.mismatch"
    remedy = "Use a new key for a new request."


class IdempotencyInFlight(NotNow):
    """The request that first came with the idempotency key "{key}" is still being written down."""

    code = "idempotency.in_flight"
    remedy = "Ask again in a moment with the same key: the answer is that of the first request."


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


class DatabaseUnavailable(StillframeError):
    """The database does not answer."""

    code = "database.unavailable"
    remedy = "Nothing is lost; ask again in a while. /readyz tells when it is back."


class MigrationsMissing(StillframeError):
    """The database does not have the tables of this version."""

    code = "database.migrations_missing"
    remedy = "Run `python -m models upgrade`."


class CursorInvalid(Invalid):
    """The cursor does not belong to this list."""

    code = "request.cursor_invalid"
    remedy = "Send a cursor as `next_cursor` gave it, with the same sort; or begin without one."


class ApiUnreachable(StillframeError):
    """The API at {url} does not answer: {why}."""

    code = "api.unreachable"
    remedy = "Check STILLFRAME_URL, and that the API runs (/healthz)."
