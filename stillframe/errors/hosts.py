"""Hosts: which there are, and what they can be asked."""

from stillframe.errors.families import HypervisorFailed, NotFound, Refused, StillframeError


class HostLost(StillframeError):
    """The connection to libvirt on this host was lost: {detail}"""

    code = "host.connection_lost"
    remedy = "Check that libvirtd runs on the host; the job goes on by itself when it is back."


class HostNotFound(NotFound):
    """There is no host "{host}"."""

    code = "host.not_found"
    remedy = "`stillframe host list` shows the hosts; a host registers itself when its worker starts."


class HostDraining(Refused):
    """Host {host} takes no new jobs: it was drained by {by} ({reason})."""

    code = "host.draining"
    remedy = "Ask again after `stillframe host undrain {host}`, or move the VM to another host."


class RescanNotFound(NotFound):
    """There is no rescan "{rescan}" of host {host}."""

    code = "rescan.not_found"
    remedy = "`stillframe host rescan HOST` begins one."


class NotOnRecord(HypervisorFailed):
    """A {kind} of VM "{vm}" was not begun, for it could not be put on record for the watchdog: {detail}"""

    code = "host.not_on_record"
    remedy = "Make room in STILLFRAME_WATCH_FOLDER on the host, or mend it, and ask again."
