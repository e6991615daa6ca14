"""For those who watch the process: is it alive, can it work. No key needed."""

from fastapi import APIRouter

from models.upgrade import is_current
from stillframe.errors import DatabaseUnavailable, MigrationsMissing
from web.described import problems
from web.house import HouseOf

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Alive?")
async def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@router.get("/readyz", summary="Ready?", responses=problems(DatabaseUnavailable(), MigrationsMissing()))
def readyz(house: HouseOf) -> dict[str, str]:
    """The database can be reached and has the tables of this version."""
    if not is_current(house.engine):
        raise MigrationsMissing
    return {"status": "ready"}
