"""The one error that only the command line has."""

from stillframe.errors import StillframeError


class Usage(StillframeError):
    """{detail}"""

    code = "cli.usage"
    remedy = "`stillframe --help` shows how."
