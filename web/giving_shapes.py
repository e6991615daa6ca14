"""A VM given to an account over HTTP: what may be sent, and what is answered."""

from pydantic import ConfigDict

from web.account_shapes import Json, Name
from web.examples import VM, shown
from web.shapes import Shape, Vm
from web.wishes import Wish

_BROUGHT: Json = {"snapshots": 14, "volumes": 2, "policies": ["nightly"]}


class WishAssignment(Wish):
    """Whom a VM is to be given to."""

    model_config = ConfigDict(json_schema_extra=shown({"account": "acme"}))

    account: Name


class Brought(Shape):
    """What went with a VM. `policies` took some of these snapshots and do not reach the VM any more: they prune none."""

    snapshots: int
    volumes: int
    policies: list[str]


class GivenVm(Vm):
    """A VM that was given to an account, and what went with it."""

    model_config = ConfigDict(json_schema_extra=shown({**VM, "account": "acme", "brought": _BROUGHT}))

    brought: Brought
