"""Run commands inside a guest through its QEMU guest agent."""

from __future__ import annotations

import base64
import importlib
import json
import time
from typing import Any

from lab.daemon import POLL_S
from lab.errors import LabError


def run(domain: Any, command: str, timeout_s: float) -> str:
    """Run a shell command in the guest and return its standard output.

    Waits for the agent of a guest that is still booting.  Raises LabError with the command's
    standard error when it ends other than 0, or when `timeout_s` is up.
    """
    deadline = time.monotonic() + timeout_s
    wait_ready(domain, timeout_s)
    started = _ask(
        domain,
        "guest-exec",
        {"path": "/bin/sh", "arg": ["-c", command], "capture-output": True},
    )
    while True:
        state = _ask(domain, "guest-exec-status", {"pid": started["pid"]})
        if state["exited"]:
            break
        if time.monotonic() > deadline:
            raise LabError(f"{command!r} still runs in the guest after {timeout_s:g} s")
        time.sleep(POLL_S)
    if state.get("exitcode") != 0:
        said = _text(state, "err-data").strip()
        raise LabError(f"{command!r} ended {state.get('exitcode', 'by a signal')}: {said}")
    return _text(state, "out-data")


def wait_ready(domain: Any, timeout_s: float) -> None:
    """Return once the agent answers a ping; raise LabError after `timeout_s`."""
    libvirt = importlib.import_module("libvirt")
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            _ask(domain, "guest-ping", {})
        except libvirt.libvirtError as error:
            unready = (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_OPERATION_INVALID)
            if error.get_error_code() not in unready or time.monotonic() > deadline:
                raise LabError(f"the guest agent does not answer: {error}") from error
            time.sleep(POLL_S)
        else:
            return


def _ask(domain: Any, verb: str, arguments: dict[str, Any]) -> Any:
    libvirt_qemu = importlib.import_module("libvirt_qemu")
    asked = json.dumps({"execute": verb, "arguments": arguments})
    answer = libvirt_qemu.qemuAgentCommand(domain, asked, 5, 0)
    return json.loads(answer)["return"]


def _text(state: dict[str, Any], key: str) -> str:
    return base64.b64decode(state.get(key, "")).decode(errors="replace")
