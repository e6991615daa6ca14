"""The answer to "what would this do": its fields, and how a route that plans is declared."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict

from models.tenants.actor import Actor
from stillframe.errors import CrossSite, StillframeError
from stillframe.operations import Operation
from web import examples
from web.described import keyed
from web.house import House
from web.shapes import Json, Ref, Shape, Why


class Refusal(Why):
    """Why it would be refused. `when`: as the request is made, or by the worker once it looks at the VM itself."""

    when: Literal["request", "job"]


class PlannedStep(Shape):
    """A step that the job will have."""

    name: str
    words: str


class Place(Shape):
    """Storage that is written to. `free` is null if it is not known."""

    where: str
    free: int | None
    needed: int
    what: str


class Bytes(Shape):
    """`needed` at most, on all places together; `freed` by files that go; `moved` are copied."""

    needed: int
    freed: int
    moved: int
    places: list[Place]


class Pause(Shape):
    """How the VM will stand still. `expected_ms`: from, to; null if there is none, or it cannot be told."""

    kind: Literal["none", "pause", "power_off"]
    expected_ms: tuple[int, int] | None
    why: str


class Consequence(Shape):
    """What will be so afterwards."""

    code: str
    detail: str


class Forecast(Shape):
    """What a request would do. Made from what was seen of the VM at `seen_at`; the worker looks again."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.FORECAST))

    kind: str
    vm: Ref
    host: str
    seen_at: datetime
    allowed: bool
    refusals: list[Refusal]
    warnings: list[Why]
    steps: list[PlannedStep]
    bytes: Bytes
    pause: Pause
    consequences: list[Consequence]
    request: Json


def planned(*errors: StillframeError) -> dict[str, Any]:
    """How a route that plans is declared. What it would be refused for is in its answer, not among these."""
    return {
        "response_model": Forecast,
        "response_description": "The plan, also of what would be refused: then `allowed` is false.",
        "responses": keyed(CrossSite(), *errors),
    }


def plan(house: House, operation: Operation, actor: Actor) -> Json:
    """The plan of an operation."""
    return house.producer.plan(operation, actor).to_json()
