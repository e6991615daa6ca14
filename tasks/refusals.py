"""A refusal that only the Producer knows."""

from stillframe.errors import Refused


class DeletionAsked(Refused):
    """Snapshot "{snapshot}" is already to be deleted, by job {job}."""

    code = "snapshot.deletion_asked"
    remedy = "Wait for that job, or cancel it (`stillframe job cancel`) and ask again."
