"""Who asks, for whom, and how much they may have."""

from stillframe.errors.families import Invalid, NotFound, Refused, StillframeError


class KeyMissing(StillframeError):
    """This needs an API key, or a login."""

    code = "key.missing"
    remedy = "Send `Authorization: Bearer <key>`; the CLI reads STILLFRAME_KEY."


class Forbidden(StillframeError):
    """This needs the right "{right}", which whoever asks does not have."""

    code = "right.missing"
    remedy = "Ask with a key that has it, or ask an administrator for one."


class BeyondOwn(Forbidden):
    """{what} goes beyond what whoever asks may do themselves."""

    code = "right.beyond_own"
    remedy = "Give less, or ask an administrator who may."


class KeyRefused(StillframeError):
    """The API key is not known, has expired or was revoked."""

    code = "key.refused"
    remedy = "Ask an administrator for a new key."


class AccountNotFound(NotFound):
    """There is no account "{account}"."""

    code = "account.not_found"
    remedy = "`stillframe account list` shows the accounts."


class AccountNameAmbiguous(Invalid):
    """The name "{account}" belongs to several accounts: {candidates}."""

    code = "account.name_ambiguous"
    remedy = "Name it with its domain, as these are named, or by its id."


class DomainNotFound(NotFound):
    """There is no domain "{domain}"."""

    code = "domain.not_found"
    remedy = "`stillframe domain list` shows the domains."


class KeyNotFound(NotFound):
    """There is no key "{key}"."""

    code = "key.not_found"
    remedy = "`stillframe key list` shows the keys."


class AccountNameTaken(Refused):
    """There is an account "{account}" in domain {domain} already."""

    code = "account.name_taken"
    remedy = "Choose another name, or another domain: a name is an account's alone in its domain."


class AccountInUse(Refused):
    """Account "{account}" cannot be deleted while it has {has}."""

    code = "account.in_use"
    remedy = (
        "Give its VMs to another account (`stillframe vm assign`), delete the rest or wait for its end, "
        "and ask again; lists filtered by the account show it."
    )


class DomainNameTaken(Refused):
    """There is a domain "{domain}" already."""

    code = "domain.name_taken"
    remedy = "Choose another name."


class DomainInUse(Refused):
    """Domain {domain} cannot be deleted while it has {has}."""

    code = "domain.in_use"
    remedy = "Delete those first; `stillframe domain list --below` and `account list --domain` show them."


class Undeletable(Refused):
    """{what} cannot be deleted: {why}."""

    code = "account.undeletable"
    remedy = "Leave it, or ask with a key of another account if it is only your own that is in the way."


class QuotaExceeded(Refused):
    """This would be more than allowed: {whose} may have {limit} {what}, and has {used}."""

    code = "quota.exceeded"
    remedy = (
        "Delete what is not needed (of jobs: wait until one is over), or ask an administrator for more; "
        "`stillframe account show` has the figures, and of a domain `stillframe domain show`."
    )


class RightsNotOfRole(Invalid):
    """{what} of the role {role} cannot have the rights {rights}. It can have: {has}."""

    code = "key.rights_not_of_role"
    remedy = "Leave those out, or give a role that has them; the role is how far it sees."
