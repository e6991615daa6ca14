"""Numbers of things, and sizes, in sentences."""


def counted(number: int, noun: str) -> str:
    """`1 layer`, `3 layers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def are(number: int) -> str:
    """The verb that goes with so many."""
    return "is" if number == 1 else "are"


def size(count: int) -> str:
    """`780 B`, `1.5 GiB`, `200 MiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


class Size(int):
    """Bytes, for the context of an error: as `size` in its sentence, as the number in its evidence."""

    def __str__(self) -> str:
        return size(self)
