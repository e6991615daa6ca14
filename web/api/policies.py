"""Policies: what is snapshotted when, what is kept, what became of it, and what is to come."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query

from models.policies import keep
from models.policies.tables import FiringState
from models.queries import policies as rows
from models.queries.paging import Wanted
from models.queries.policy_preview import preview, warnings_of
from models.queries.policy_vms import Faring, policy_vms
from models.session import transaction
from models.tenants.actor import Actor
from stillframe.errors import (
    HostNotFound,
    Invalid,
    PolicyMatchesNothing,
    PolicyNameTaken,
    PolicyNotFound,
    PolicyTooFast,
    PolicyVmNotSetAside,
    VmNotFound,
)
from stillframe.policies.as_json import policy_from_json
from stillframe.rights import Right
from web.auth import Reader, needs
from web.described import BODY, CHANGE, OWNED, PAGES, keyed
from web.house import House, HouseOf
from web.making import ONCE, Making, made
from web.policy_shapes import (
    DeletedPolicy,
    MadePolicy,
    Policy,
    PolicyVm,
    Preview,
    Run,
)
from web.policy_wishes import WishPause, WishPolicy, WishPolicyResume
from web.shapes import Json, Page
from web.wishes import DomainFilter, Filter, wanted

router = APIRouter(prefix="/v1/policies", tags=["policies"])

UNKNOWN = PolicyNotFound(policy="nightly")
NOT_SET_ASIDE = PolicyVmNotSetAside(policy="nightly", vm="web1")
UNREADABLE = Invalid(detail="policy.mode is 'tepid', and may be auto, hot, cold, memory")
WRONG = (
    Invalid(detail="the schedule never fires after now: its end is over, or there is no such day"),
    PolicyNameTaken(name="nightly"),
    PolicyMatchesNothing(),
    HostNotFound(host="hv9"),
)
PolicyPath = Annotated[str, Path(description="A policy's name or id", examples=["nightly"])]
AllowEmpty = Annotated[bool, Query(description="Also if the selector matches no VM at this moment")]


@router.get(
    "",
    summary="List policies",
    response_model=Page[Policy],
    responses=keyed(*PAGES, *OWNED, VmNotFound(vm="web9")),
)
def list_policies(
    *,
    house: HouseOf,
    actor: Reader,
    wanted: Annotated[Wanted, Depends(wanted)],
    q: Filter = None,
    vm: Filter = None,
    account: Filter = None,
    domain: DomainFilter = None,
) -> Any:
    """Policies by name; `q` is a part of it, `vm` one that they have fired for."""
    return house.read(rows.policies, actor, wanted, q=q, vm=vm, account=account, domain=domain)


@router.post(
    "",
    summary="Make a policy",
    response_model=MadePolicy,
    status_code=201,
    responses={
        **made(201, MadePolicy, "/v1/policies/01a206ee-..."),
        **keyed(*CHANGE, *BODY, *WRONG, *ONCE, PolicyTooFast(gap="5m", vms=3, vm="web1", took="7m")),
    },
)
def create_policy(
    *,
    house: HouseOf,
    making: Making,
    actor: Annotated[Actor, needs(Right.POLICY)],
    wish: WishPolicy,
    allow_empty: AllowEmpty = False,
) -> Any:
    """A policy that fires from now on. What could never work is refused here, not at night; `warnings` say what may not."""
    asked = wish.model_dump(mode="json")
    policy = policy_from_json(asked)
    id_ = making.make(
        actor,
        ("policy", asked),
        lambda session: keep.add_policy(session, policy, actor, allow_empty=allow_empty),
        at="/v1/policies",
    )
    return _made(house, actor, UUID(id_))


@router.get("/{policy}", summary="Show a policy", response_model=Policy, responses=keyed(UNKNOWN))
def show_policy(*, house: HouseOf, actor: Reader, policy: PolicyPath) -> Any:
    """One policy by name or id."""
    return _look(house, actor, policy)


@router.put(
    "/{policy}",
    summary="Change a policy",
    response_model=MadePolicy,
    responses=keyed(*CHANGE, *BODY, UNKNOWN, *WRONG),
)
def edit_policy(
    *, house: HouseOf, actor: Annotated[Actor, needs(Right.POLICY)], policy: PolicyPath, wish: WishPolicy
) -> Any:
    """Puts another wish in its place. A schedule that stays as it was keeps its place in time; others begin now.

    `warnings` say which VMs it means no more.
    """
    changed = policy_from_json(wish.model_dump(mode="json"))
    id_ = _id(house, actor, policy)
    left_out = house.write(keep.edit_policy, id_, changed, actor)
    return _made(house, actor, id_, left_out)


@router.delete(
    "/{policy}",
    summary="Delete a policy",
    response_model=DeletedPolicy,
    responses=keyed(*CHANGE, UNKNOWN),
)
def delete_policy(*, house: HouseOf, actor: Annotated[Actor, needs(Right.POLICY)], policy: PolicyPath) -> Any:
    """Nothing fires any more, and nothing is pruned: the snapshots it took stay until somebody deletes them.

    What had fired and waits for its turn does not take place, also if somebody has just run it: that is answered. Jobs go on.
    """
    id_ = _id(house, actor, policy)
    return vars(house.write(keep.delete_policy, id_, actor))


@router.post(
    "/{policy}/pause",
    summary="Pause a policy",
    response_model=Policy,
    responses=keyed(*CHANGE, *BODY, UNKNOWN),
)
def pause_policy(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(Right.POLICY)],
    policy: PolicyPath,
    wish: WishPause | None = None,
) -> Any:
    """Nothing fires, until a time or until it is resumed. What waits for its turn is skipped; jobs go on."""
    id_ = _id(house, actor, policy)
    house.write(keep.pause_policy, id_, actor, wish.until if wish else None)
    return _look(house, actor, str(id_))


@router.post(
    "/{policy}/resume",
    summary="Resume a policy, or one VM of it",
    response_model=Policy,
    responses=keyed(*CHANGE, *BODY, UNKNOWN, VmNotFound(vm="web9"), NOT_SET_ASIDE, UNREADABLE),
)
def resume_policy(
    *,
    house: HouseOf,
    actor: Annotated[Actor, needs(Right.POLICY)],
    policy: PolicyPath,
    wish: WishPolicyResume | None = None,
) -> Any:
    """It fires again from now on, also one that suspended itself, for all its VMs; what was missed is not made up for.

    With `vm` that one is set aside no more, and nothing else changes.
    """
    id_ = _id(house, actor, policy)
    with transaction(house.engine) as session:
        if wish and wish.vm:
            keep.resume_vm(session, id_, wish.vm, actor)
        else:
            keep.resume_policy(session, id_, actor)
    return _look(house, actor, str(id_))


@router.post(
    "/{policy}/run",
    summary="Fire a policy now",
    response_model=Page[Run],
    status_code=202,
    responses={**made(202, Page[Run]), **keyed(*CHANGE, UNKNOWN, PolicyMatchesNothing(), UNREADABLE, *ONCE)},
)
def run_policy(
    *,
    house: HouseOf,
    making: Making,
    actor: Annotated[Actor, needs(Right.POLICY)],
    policy: PolicyPath,
) -> Any:
    """Fires it for every VM it means, besides its schedules; guards and caps hold as ever."""
    id_ = _id(house, actor, policy)
    at = making.make(actor, ("run", id_), lambda session: keep.run_policy(session, id_, actor))
    return house.read(rows.runs, actor, id_, rows.Runs(at=datetime.fromisoformat(at)), Wanted(limit=500))


@router.get(
    "/{policy}/runs",
    summary="List what became of its firings",
    response_model=Page[Run],
    responses=keyed(*PAGES, UNKNOWN, VmNotFound(vm="web9")),
)
def list_runs(
    *,
    house: HouseOf,
    actor: Reader,
    policy: PolicyPath,
    wanted: Annotated[Wanted, Depends(wanted)],
    state: Annotated[Sequence[FiringState], Query(description="May be given several times")] = (),
    vm: Filter = None,
) -> Any:
    """Newest first, those that did not take place too, with the reason."""
    id_ = _id(house, actor, policy)
    return house.read(rows.runs, actor, id_, rows.Runs(states=tuple(state), vm=vm), wanted)


@router.get(
    "/{policy}/vms",
    summary="List how its VMs fare",
    response_model=Page[PolicyVm],
    responses=keyed(*PAGES, UNKNOWN, VmNotFound(vm="web9")),
)
def list_policy_vms(
    *,
    house: HouseOf,
    actor: Reader,
    policy: PolicyPath,
    wanted: Annotated[Wanted, Depends(wanted)],
    set_aside: Annotated[bool | None, Query(description="Only those that are set aside, or are not")] = None,
    vm: Filter = None,
) -> Any:
    """The VMs it has fired for, by name: failures in a row, which are set aside and why, what keeps it from pruning."""
    id_ = _id(house, actor, policy)
    return house.read(policy_vms, actor, id_, Faring(set_aside=set_aside, vm=vm), wanted)


@router.get(
    "/{policy}/preview",
    summary="Show what is to come",
    response_model=Preview,
    responses=keyed(UNKNOWN, UNREADABLE),
)
def preview_policy(
    *, house: HouseOf, actor: Reader, policy: PolicyPath, runs: Annotated[int, Query(ge=0, le=100)] = 5
) -> Any:
    """The next firings, and which of its snapshots would be kept or pruned now, with every reason."""
    return house.read(preview, _id(house, actor, policy), runs)


def _id(house: House, actor: Actor, policy: str) -> Any:
    return house.read(rows.policy_id, actor, policy)


def _made(house: House, actor: Actor, policy: UUID, warnings: Sequence[str] = ()) -> Json:
    with house.reads.connect() as connection:
        return rows.policy(connection, actor, str(policy)) | {
            "warnings": [*warnings, *warnings_of(connection, policy)]
        }


def _look(house: House, actor: Actor, policy: str) -> Json:
    return house.read(rows.policy, actor, policy)
