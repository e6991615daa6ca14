"""Every setting, read once per process from the environment and passed down; nothing below reads the environment."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Self

from stillframe.addresses import networks

#: Characters that a key at least has, of which all secrets of webhooks are made.
KEY_LENGTH = 32


def _setting(
    text: str,
    default: Any = MISSING,
    *,
    secret: bool = False,
    within: tuple[float, float] | None = None,
) -> Any:
    return field(default=default, repr=not secret, metadata={"help": text, "within": within})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Each field is the environment variable STILLFRAME_<FIELD>; its help says meaning, unit and range."""

    database_url: str = _setting(
        "Postgres, as SQLAlchemy writes it: postgresql+psycopg://user@host:port/name", "", secret=True
    )
    broker_url: str = _setting("Redis that carries the messages: redis://host:port/db", "", secret=True)
    libvirt_uri: str = _setting("The libvirt daemon of this host.", "qemu:///system")
    definitions_folder: str = _setting(
        "Where that daemon keeps the definitions of VMs; what it changes there is made to outlive a power cut.",
        "/etc/libvirt/qemu",
    )
    host: str = _setting(
        "This hypervisor's name; its queue is host.<name>. Letters, digits, dot, dash.",
        socket.gethostname(),
    )
    url: str = _setting("Where the HTTP API answers.", "http://127.0.0.1:8460")
    key: str = _setting("The API key that the CLI and the client send.", "", secret=True)
    flower_url: str = _setting("Where Flower answers.", "")
    listen: str = _setting("Address and port on which the API listens.", "127.0.0.1:8460")
    lease_s: float = _setting(
        "Seconds a worker's hold of a job lasts without a heartbeat, 5 to 600.", 30.0, within=(5, 600)
    )
    heartbeat_s: float = _setting(
        "Seconds between two heartbeats of a running job, below lease_s / 2.", 5.0, within=(0.1, 300)
    )
    agent_timeout_s: int = _setting(
        "Seconds to wait for a guest agent's answer, 1 to 60.", 10, within=(1, 60)
    )
    inventory_s: float = _setting(
        "Seconds between two full looks at a host's VMs, 5 to 3600.", 60.0, within=(5, 3600)
    )
    max_deaths: int = _setting(
        "Workers that may die holding one job before it is stuck, 0 to 100.", 5, within=(0, 100)
    )
    start_within_s: float = _setting(
        "Seconds after which a queued job that nobody began expires, unless its request says otherwise.",
        86400.0,
        within=(1, 2_592_000),
    )
    vm_gone_s: float = _setting(
        "Seconds for which a VM may be on no host before its jobs are given up, 60 to 86400.",
        600.0,
        within=(60, 86400),
    )
    keep_firings_days: float = _setting(
        "Days for which it is kept what became of a policy's moments, longer while there is a snapshot of it; "
        "0 to 36500; 0 keeps it for ever.",
        400.0,
        within=(0, 36500),
    )
    freeze_budget_s: float = _setting(
        "Seconds after which the watchdog ends a freeze that Stillframe began, 1 to 600.",
        10.0,
        within=(1, 600),
    )
    pause_budget_s: float = _setting(
        "Seconds after which the watchdog ends a pause that Stillframe began, 1 to 600.",
        30.0,
        within=(1, 600),
    )
    pause_for_internal_delete: bool = _setting(
        "Whether a running VM is paused while an internal snapshot of another tool is deleted, yes or no. "
        "It stands still for as long without a pause.",
        False,
    )
    watch_folder: str = _setting(
        "Where freezes and pauses under way are on record for the watchdog.", "/run/stillframe/watch"
    )
    chain_warn: int = _setting(
        "Layers under a volume from which on a plan warns, 2 to 200.", 8, within=(2, 200)
    )
    chain_limit: int = _setting(
        "Layers under a volume from which on a new snapshot is refused, 2 to 200.", 24, within=(2, 200)
    )
    lock_folder: str = _setting("Where a host's workers keep the locks of its VMs.", "/run/stillframe")
    block_layers_folder: str = _setting(
        "Where the layers of volumes that are block devices are kept.", "/var/lib/libvirt/images"
    )

    session_idle_s: float = _setting(
        "Seconds after which a login is over that nobody uses, 300 to 86400.", 3600.0, within=(300, 86400)
    )
    session_s: float = _setting(
        "Seconds after which a login is over in any case, 300 to 2592000.", 43200.0, within=(300, 2_592_000)
    )
    secure_cookies: bool = _setting(
        "Whether browsers send the cookie of a login over https only, yes or no. Where requests come over https, as the "
        "proxy says by X-Forwarded-Proto, it is so in any case.",
        False,
    )
    trusted_proxies: str = _setting(
        "Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.",
        "127.0.0.1, ::1",
    )

    webhook_key: str = _setting(
        "What the secrets of webhooks are made of, 32 characters or more; without it there are none.",
        "",
        secret=True,
    )
    webhook_allow: str = _setting(
        "Networks that are not public and webhooks may go to all the same: 10.1.0.0/16, 192.168.7.9/32.", ""
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Settings from STILLFRAME_* variables; raises ValueError with the variable's name on a bad value."""
        found = {
            one.name: _parse(one, env[variable(one.name)]) for one in fields(cls) if variable(one.name) in env
        }
        settings = cls(**found)
        if settings.heartbeat_s >= settings.lease_s / 2:
            most = f"{variable('lease_s')} / 2"
            raise ValueError(f"{variable('heartbeat_s')}: {settings.heartbeat_s:g} is not below {most}")
        if 0 < len(settings.webhook_key) < KEY_LENGTH:
            raise ValueError(f"{variable('webhook_key')}: it has fewer than {KEY_LENGTH} characters")
        for name in ("webhook_allow", "trusted_proxies"):
            try:
                networks(getattr(settings, name))
            except ValueError as error:
                raise ValueError(f"{variable(name)}: {error}") from error
        return settings


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"STILLFRAME_{name.upper()}"


def _parse(one: Field[Any], text: str) -> Any:
    kind = str(getattr(one.type, "__name__", one.type))
    try:
        found = _READ.get(kind, str)(text)
    except ValueError as error:
        wanted = "yes or no" if kind == "bool" else "a number"
        raise ValueError(f"{variable(one.name)}: {text!r} is not {wanted}") from error
    if within := one.metadata["within"]:
        least, most = within
        if not least <= found <= most:  # NaN is not either
            raise ValueError(f"{variable(one.name)}: {text!r} is not within {least:g} to {most:g}")
    return found


def _yes(text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false", "1", "0"):
        raise ValueError(text)
    return text.lower() in ("yes", "true", "1")


_READ: dict[str, Callable[[str], Any]] = {"float": float, "int": int, "bool": _yes}
