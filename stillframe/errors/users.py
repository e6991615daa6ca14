"""Errors about people: their names and passwords, and being logged in."""

from stillframe.errors.accounts import Forbidden
from stillframe.errors.families import Invalid, NotFound, Refused, StillframeError


class UserNotFound(NotFound):
    """There is no user "{user}"."""

    code = "user.not_found"
    remedy = "`stillframe user list` shows the users."


class UserNameAmbiguous(Invalid):
    """The name "{user}" belongs to several users: {candidates}."""

    code = "user.name_ambiguous"
    remedy = "Name the user by its id, or by its login, such as /acme/kim."


class UserNameTaken(Refused):
    """There is a user "{login}" already."""

    code = "user.name_taken"
    remedy = "Choose another name: it is the user's alone in its domain, whichever letters are capitals."


class UserIsOneself(Refused):
    """Nobody can {what} the user that they are logged in as."""

    code = "user.is_oneself"
    remedy = "Ask another administrator. One's own password is changed by `POST /v1/me/password`."


class PasswordInvalid(Invalid):
    """The password cannot be used: {why}."""

    code = "password.invalid"
    remedy = "Choose 12 to 256 characters of any kind, such as some words that do not belong together."


class PasswordWrong(Refused):
    """That is not the present password."""

    code = "password.wrong"
    remedy = "An administrator can set another one."


class PasswordToBeChanged(Forbidden):
    """The password was set by somebody else: first it is to be changed."""

    code = "password.to_be_changed"
    remedy = "`POST /v1/me/password` changes it; until then nothing else is open."


class LoginRefused(StillframeError):
    """The name and the password do not open anything."""

    code = "login.refused"
    remedy = (
        "Check both; a login is written /acme/kim, the domain and then the name. An administrator sees whether the user "
        "is disabled, and can set another password."
    )


class TooManyLogins(StillframeError):
    """Too many logins failed: the next one can be tried in {retry_after_s} s."""

    code = "login.too_many"
    remedy = "Wait so long. Whoever is logged in already is not affected."


class LoginsBusy(StillframeError):
    """More passwords are to be checked at this moment than can be."""

    code = "login.busy"
    remedy = "Ask again in a few seconds."


class SessionRefused(StillframeError):
    """The login is over: it has lasted too long, nobody used it for a while, or it was ended."""

    code = "session.refused"
    remedy = "Log in again."


class SessionNeeded(Refused):
    """This is for a person who is logged in, and the request came with an API key."""

    code = "session.needed"
    remedy = "Log in by `POST /v1/login` and send the cookie. A key is revoked by `stillframe key revoke`."


class SessionNotFound(NotFound):
    """There is no login "{session}"."""

    code = "session.not_found"
    remedy = "`GET /v1/me/sessions` lists one's own."


class CrossSite(Forbidden):
    """A change was asked for with a login's cookie, and not surely from a page of this site."""

    code = "request.cross_site"
    remedy = "A browser says so by itself (`Sec-Fetch-Site`, `Origin`) on pages of the same origin. Programs use an API key."
