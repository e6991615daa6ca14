"""What an operation would do, shown before it is asked for."""

from stillframe.cli import show
from stillframe.client import Json

OK, REFUSED = 0, 5


def shown(plan: Json, output: str) -> int:
    """The plan, and the exit code: 5 if the request would be refused, now or by the worker."""
    if output == "json":
        show.data(plan)
    else:
        _for_people(plan)
    return OK if plan["allowed"] else REFUSED


def _for_people(plan: Json) -> None:
    bytes_, pause = plan["bytes"], plan["pause"]
    show.fields(
        (
            ("Plan", f"{show.kind(plan)} of VM {plan['vm']['name']} on host {plan['host']}"),
            ("Allowed", "yes" if plan["allowed"] else "no"),
            ("As seen", show.time(plan["seen_at"])),
            ("Pause", f"{_PAUSE[pause['kind']]}{_range(pause['expected_ms'])}. {pause['why']}"),
            ("Needs", _bytes(bytes_["needed"], "at most")),
            ("Moves", _bytes(bytes_["moved"])),
            ("Frees", _bytes(bytes_["freed"])),
        )
    )
    print()
    rows = [(step["name"], step["words"]) for step in plan["steps"]]
    show.table(("STEP", "WHAT IT DOES"), rows, "It has no steps.")
    if bytes_["places"]:
        print()
        places = [
            (place["where"], show.size(place["free"]), show.size(place["needed"]), place["what"])
            for place in bytes_["places"]
        ]
        show.table(("STORAGE", "FREE", "NEEDED", "FOR"), places, "")
    _listed("Afterwards:", [one["detail"] for one in plan["consequences"]])
    _listed("Mind:", [f"{one['detail']} {one['remedy']}".rstrip() for one in plan["warnings"]])
    when = {"request": "It would be refused", "job": "The worker would refuse it"}
    for refusal in plan["refusals"]:
        show.note(show.plain(f"{when[refusal['when']]}: {refusal['detail']}"))
        show.note(show.plain(refusal["remedy"]))


_PAUSE = {"none": "none", "pause": "stands still", "power_off": "powered off"}


def _range(expected: list[int] | None) -> str:
    return f", about {expected[0]} to {expected[1]} ms" if expected else ""


def _bytes(count: int, words: str = "") -> str | None:
    return f"{words} {show.size(count)}".strip() if count else None


def _listed(head: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{head}")
        for line in lines:
            print(show.plain(f"- {line}"))
