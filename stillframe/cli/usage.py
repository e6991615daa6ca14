"""The errors that only the command line has."""

from stillframe.errors import StillframeError


class Usage(StillframeError):
    """{detail}"""

    code = "cli.usage"
    remedy = "The same command with --help shows how."


class NeedsYes(Usage):
    """This needs --yes, as there is no terminal to ask on."""

    remedy = "Add --yes if it is meant."
