"""What the `type` of a problem leads to: the page of its code. No key needed."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict

from stillframe.catalogue import CATALOGUE, meaning_of, title_of
from stillframe.errors import RouteNotFound, StillframeError
from web import examples
from web.described import problems, wrong_field
from web.problems import status_of_kind
from web.shapes import Json, Shape

router = APIRouter(prefix="/problems", tags=["problems"])

_EXAMPLE: Json = {
    "code": "snapshot.name_taken",
    "title": "snapshot: name taken",
    "status": 409,
    "meaning": 'VM "{vm}" already has a snapshot named "{name}".',
    "remedy": "Choose another name, or delete the snapshot that has it.",
}


class ProblemKind(Shape):
    """A kind of problem. In `meaning` and `remedy` stand names in braces for what an answer fills in."""

    model_config = ConfigDict(json_schema_extra=examples.shown(_EXAMPLE))

    code: str
    title: str
    status: int
    meaning: str
    remedy: str


class ProblemKinds(Shape):
    """All kinds of problems, by code."""

    items: list[ProblemKind]


@router.get("", summary="List the kinds of problems", response_model=ProblemKinds)
async def list_problems() -> Any:
    """Every code that a problem, or the error of a job, can have."""
    return {"items": [_told(CATALOGUE[code]) for code in sorted(CATALOGUE)]}


@router.get(
    "/{code}",
    summary="Show a kind of problem",
    response_model=ProblemKind,
    responses=problems(RouteNotFound(path="/problems/no.such_code"), wrong_field()),
)
async def show_problem(
    code: Annotated[str, Path(description="As in `code`", examples=["snapshot.name_taken"])],
) -> Any:
    """What a code means and what to do about it."""
    if code not in CATALOGUE:
        raise RouteNotFound(path=f"/problems/{code[:80]}")
    return _told(CATALOGUE[code])


def _told(error: type[StillframeError]) -> Json:
    code, status = error.code, status_of_kind(error)
    return {
        "code": code,
        "title": title_of(error),
        "status": status,
        "meaning": meaning_of(error),
        "remedy": error.remedy,
    }
