"""What ticks, and how often. Plain data: beat only ticks; what is due is decided in Postgres."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """A message to the control side, and the seconds between two of them."""

    message: str
    every_s: float


SCHEDULE = {
    "publish-owed": Tick("stillframe.publish_owed", 2.0),
    "fire-policies": Tick("stillframe.fire_policies", 2.0),
    "lapse-leases": Tick("stillframe.lapse_leases", 5.0),
    "expire-snapshots": Tick("stillframe.expire_snapshots", 30.0),
    "mend-clocks": Tick("stillframe.mend_clocks", 60.0),
    "forget-firings": Tick("stillframe.forget_firings", 600.0),
    "expire-jobs": Tick("stillframe.expire_jobs", 10.0),
    "forget-keys": Tick("stillframe.forget_keys", 300.0),
}
