"""How a request that does not have the shape of its route is worded."""

from stillframe.errors import Invalid


class RequestNotValid(Invalid):
    """The request cannot be understood: {summary}."""

    remedy = "The evidence names each wrong field; /docs shows what is expected."
