"""The tree of a VM's snapshots, drawn."""

from collections.abc import Iterator, Sequence

from stillframe.cli import show
from stillframe.client import Json

HERE = "<- you are here"


def drawn(vm: Json, snapshots: Sequence[Json]) -> Iterator[str]:
    """Lines, oldest branch first. A snapshot whose parent is not among them stands at the root."""
    yield show.plain(f"{vm['name']} ({vm['state']})")
    known = {one["id"] for one in snapshots}
    children: dict[str | None, list[Json]] = {}
    for one in snapshots:
        parent = one["parent_id"] if one["parent_id"] in known else None
        children.setdefault(parent, []).append(one)
    lines = list(_branches(children))
    size = max((show.width(stem) for stem, _ in lines), default=0)
    for stem, one in lines:
        marks = [*_marks(one), *([HERE] if one["current"] else [])]
        taken = "foreign" if one.get("foreign") else show.size(one["size_bytes"])
        words = f"{one['type']:<6}  {one['state']:<9}  {show.time(one['created_at'])}  {taken:>9}"
        yield f"{show.pad(stem, size)}  {words}  {'  '.join(marks)}".rstrip()
    if not any(one["current"] for one in snapshots):
        yield HERE + ": no snapshot lies below"


def _marks(one: Json) -> Iterator[str]:
    """What decides how long it stays."""
    if one.get("held"):
        yield "held"
    if one.get("expires_at"):
        yield f"expires {show.time(one['expires_at'])}"


def _branches(children: dict[str | None, list[Json]]) -> Iterator[tuple[str, Json]]:
    """Each snapshot with its stem. A stack instead of recursion: a chain may be longer than Python's."""
    waiting = [("", one, index == 0) for index, one in enumerate(reversed(children.get(None, [])))]
    while waiting:
        indent, one, last = waiting.pop()
        branch = (
            "\N{BOX DRAWINGS LIGHT UP AND RIGHT}" if last else "\N{BOX DRAWINGS LIGHT VERTICAL AND RIGHT}"
        )
        yield f"{indent}{branch}\N{BOX DRAWINGS LIGHT HORIZONTAL} {_title(one)}", one
        deeper = indent + ("   " if last else "\N{BOX DRAWINGS LIGHT VERTICAL}  ")
        above = enumerate(reversed(children.get(one["id"], [])))
        waiting.extend((deeper, child, index == 0) for index, child in above)


def _title(one: Json) -> str:
    if one["display_name"] in ("", one["name"]):
        return show.plain(one["name"])
    return show.plain(f"{one['name']} ({one['display_name']})")
