"""Whose a VM is: it is given to an account, with all that was made of it."""

import json
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session

from models.queries import hosts as rows
from models.tenants.giving import assign_vm as give
from stillframe.errors import QuotaExceeded, VmHasJobs, VmNameAmbiguous, VmNotFound, VolumeNameTaken
from web.api.accounts import Admin
from web.described import BODY, CHANGE, NO_ACCOUNT, keyed
from web.giving_shapes import GivenVm, WishAssignment
from web.house import HouseOf
from web.making import ONCE, Making, made
from web.wishes import VmPath

router = APIRouter(prefix="/v1/vms", tags=["accounts"])


@router.post(
    "/{vm}:assign",
    summary="Give a VM to an account",
    response_model=GivenVm,
    responses={
        **made(200, GivenVm),
        **keyed(
            *(*CHANGE, *BODY, *ONCE, *NO_ACCOUNT, VmNotFound(vm="web9")),
            VmHasJobs(vm="web1", job="01a206ea"),
            VmNameAmbiguous(vm="web1", candidates="8f4075f4-... on hv1, 2b6c0d11-... on hv2"),
            QuotaExceeded(whose="account acme", limit=10, what="snapshots", used=8),
            VolumeNameTaken(name="web1-archive"),
        ),
    },
)
def assign_vm(*, house: HouseOf, making: Making, actor: Admin, vm: VmPath, wish: WishAssignment) -> Any:
    """With it go its snapshots and extracted volumes. Its jobs and events of before stay with whose it was."""

    def assign(session: Session) -> str:
        given = give(session, actor, vm, wish.account)
        brought = {"snapshots": given.snapshots, "volumes": given.volumes, "policies": given.policies}
        return json.dumps({"vm": str(given.vm), "brought": brought})

    given = json.loads(making.make(actor, ("assign", vm, wish.account), assign))
    return house.read(rows.vm, actor, given["vm"]) | {"brought": given["brought"]}
