"""How lists of snapshots are narrowed and sorted, by the query of their URL."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from models.queries.snapshots import Filters
from stillframe.states import SnapshotOrigin, SnapshotState, SnapshotType
from web.wishes import DomainFilter, Filter, Instant, Words

Sort = Literal[
    "created_at",
    "-created_at",
    "ready_at",
    "-ready_at",
    "name",
    "-name",
    "vm",
    "-vm",
    "state",
    "-state",
    "size_bytes",
    "-size_bytes",
]


class Narrowing:
    """The filters that both lists of snapshots know; the one of a VM has its VM in the path."""

    def __init__(
        self,
        *,
        state: Annotated[Sequence[SnapshotState], Query(description="May be given several times")] = (),
        type: SnapshotType | None = None,  # noqa: A002  # the contract's word
        origin: Annotated[
            SnapshotOrigin | None, Query(description="Made by Stillframe, or by another tool")
        ] = None,
        current: bool | None = None,
        held: bool | None = None,
        policy: Annotated[Filter, Query(description="Made by this policy: its name or id")] = None,
        tag: Annotated[Sequence[Words], Query(description="Given several times: those that have all")] = (),
        created_after: Instant | None = None,
        created_before: Instant | None = None,
        q: Annotated[
            Filter, Query(description="Part of a name, a tag, or the last 6 or more digits of an id")
        ] = None,
        account: Filter = None,
        domain: DomainFilter = None,
        gone: Annotated[bool, Query(description="Also snapshots of VMs that are gone")] = False,
    ) -> None:
        self._values: dict[str, Any] = {
            "states": tuple(state),
            "type": type,
            "origin": origin,
            "current": current,
            "held": held,
            "policy": policy,
            "tags": tuple(tag),
            "created_after": created_after,
            "created_before": created_before,
            "q": q,
            "account": account,
            "domain": domain,
            "gone": gone,
        }

    def filters(self, vm: str | None) -> Filters:
        """For the query."""
        return Filters(vm=vm, **self._values)


Narrowed = Annotated[Narrowing, Depends()]
