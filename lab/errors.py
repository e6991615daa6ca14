"""What can go wrong in the lab: one class, because every answer is to read the sentence."""


class LabError(Exception):
    """The lab could not do what was asked; the text says what was missing and what to do."""
