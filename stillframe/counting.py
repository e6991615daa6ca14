"""Numbers of things in sentences."""


def counted(number: int, noun: str) -> str:
    """`1 layer`, `3 layers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def are(number: int) -> str:
    """The verb that goes with so many."""
    return "is" if number == 1 else "are"
