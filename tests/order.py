"""In which order tests run: the longest first, and what they have to start is started by as few processes as can be."""

import pytest


def sort(items: list[pytest.Item], processes: int) -> None:
    """Sorts the tests for so many processes, of which xdist gives each an equal piece; the rest stays in its random order.

    One process begins with the tests on the running stack, another with those on guests of a lab, and the last with
    what may take longest of the others, for which at the end all would wait.
    """
    items.sort(key=_may_take_s, reverse=True)
    groups: list[list[pytest.Item]] = [[], [], []]
    for item in items:
        groups[_kind(item)].append(item)
    on_stack, on_guests, others = groups
    if processes < 3:
        items[:] = on_stack + on_guests + others
        return
    piece = len(items) // processes
    dealt = []
    for group in (on_stack, on_guests):
        fill = min(len(others), max(0, piece - len(group)))
        others, filling = others[: len(others) - fill], others[len(others) - fill :]
        dealt += group + filling
    items[:] = dealt + others


def _kind(item: pytest.Item) -> int:
    if "shared_site" in getattr(item, "fixturenames", ()):
        return 0
    return 1 if item.get_closest_marker("qemu") else 2


def _may_take_s(item: pytest.Item) -> float:
    own = item.get_closest_marker("timeout")
    return float(own.args[0]) if own else 0
