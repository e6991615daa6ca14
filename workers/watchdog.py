"""The watchdog of a host: `python -m workers.watchdog`. It ends every freeze and every pause that Stillframe began there.

A process of its own, which neither the worker nor anything the worker needs can take down: it has libvirt and a folder, and
knows no database and no broker. What it did, and what it could not do, it leaves in the folder for the keeper to tell.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hypervisor.libvirt_host import LibvirtHost
from hypervisor.port import Host, Vm
from stillframe.errors import HostLost, StillframeError, VmGone, VmHeld, VmNotLocked
from stillframe.events import EventType, Level
from stillframe.rules import ALIVE, LEFT_BY_A_CUT
from stillframe.settings import Settings
from stillframe.states import VmState
from workers import identity
from workers.watch_folder import Ward, WatchFolder, Word, now

logger = logging.getLogger(__name__)

#: Seconds between two looks into the folder, between two looks at a VM, and between two alarms about the same thing.
LOOK_S = 0.25
TRY_S = 1.0
ALARM_S = 300.0
#: Seconds by which a ward of nothing is late when it is taken away, though its worker lives or it may still be evidence.
LINGER_S = 300.0

_ENDED = {"freeze": EventType.GUEST_THAWED, "pause": EventType.VM_RESUMED}
_LASTS = {"freeze": EventType.GUEST_STILL_FROZEN, "pause": EventType.VM_STILL_PAUSED}


class Watchdog:
    """Looks after the wards of one host. `connect` opens a connection to its libvirt when it is first asked something."""

    def __init__(self, folder: WatchFolder, connect: Callable[[], Host]) -> None:
        self.folder = folder
        self._connect = connect
        self._guards: dict[tuple[object, ...], Guard] = {}

    def run(self) -> None:
        """For ever."""
        while True:
            for act in (self.look, self.folder.sign):
                try:
                    act()
                except Exception:  # a full disk, say: who watches over others must not end of it
                    logger.exception("something is wrong with the folder %s", self.folder.path)
            time.sleep(LOOK_S)

    def look(self) -> None:
        """Sees to every ward there is; each by itself, so that a guest that hangs holds up no other's."""
        wards = {(ward.vm, ward.job, ward.began): ward for ward in self.folder.wards()}
        for gone in set(self._guards) - set(wards):
            if self._guards[gone].leave():
                del self._guards[gone]
        for key, ward in wards.items():
            guard = self._guards.setdefault(key, Guard(self.folder, self._connect))
            guard.begin(ward)

    def settle(self) -> None:
        """Waits until all that was begun has ended."""
        for guard in self._guards.values():
            guard.wait()


class Lasts(Exception):
    """It could not be ended, and this is why."""


class Guard:
    """Sees to one ward, through a connection of its own."""

    def __init__(self, folder: WatchFolder, connect: Callable[[], Host]) -> None:
        self._folder = folder
        self._connect = connect
        self._host: Host | None = None
        self._thread: threading.Thread | None = None
        self._tried_at = float("-inf")
        self._paused_since: float | None = None

    def begin(self, ward: Ward) -> None:
        """Looks whether there is something to do, and does it in a thread of its own; nothing if it still is at it."""
        if self._is_at_it() or now() < self._tried_at + TRY_S:
            return
        if ward.ended and now() < ward.began + ward.budget_s + LINGER_S:
            return
        if ward.kind == "freeze" and not ward.is_late and identity.is_alive(ward.holder):
            return
        self._tried_at = now()
        self._thread = threading.Thread(
            target=self._see_to, args=(ward,), name=f"ward {ward.name}", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Until it is not at it any more."""
        if self._thread is not None:
            self._thread.join()

    def leave(self) -> bool:
        """The ward is gone; returns whether this is at its end too."""
        if self._is_at_it():
            return False
        if self._host is not None:
            self._start(self._let_go)  # a daemon that hangs keeps waiting even who wants to go
            return False
        return True

    def _start(self, act: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=act, name="guard", daemon=True)
        self._thread.start()

    def _is_at_it(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _let_go(self) -> None:
        if self._host is not None:
            self._host.close()
        self._host = None

    def _see_to(self, ward: Ward) -> None:
        """Alone, so that a worker that asks whether the watchdog acted is not answered in the middle of it."""
        with suppress(VmHeld), _full_disks_borne(), self._folder.alone(ward.vm, ward.name, 0.0):
            found = self._folder.ward(ward.vm, ward.job)
            if found is None or found.began != ward.began:
                return
            try:
                self._end(found)
            except VmGone:
                self._over(found)
            except (Lasts, StillframeError) as error:
                if isinstance(error, HostLost):
                    self._let_go()
                self._alarm(found, str(error))
            except Exception as error:
                logger.exception("%s of %s", ward.kind, ward.name)
                self._let_go()
                self._alarm(found, repr(error))

    def _end(self, ward: Ward) -> None:
        if ward.ended or not identity.is_of_this_boot(ward.holder):
            return self._over(ward)  # nobody wants to know any more; or its VM has gone down with the host
        self._host = self._host or self._connect()
        vm = self._host.vm(ward.vm)
        return self._end_freeze(ward, vm) if ward.kind == "freeze" else self._end_pause(ward, vm)

    def _end_freeze(self, ward: Ward, vm: Vm) -> None:
        frozen = vm.is_frozen()
        if frozen:
            self._mark(ward, broken=True)
            vm.thaw()
            if vm.is_frozen() is not False:
                raise Lasts("it was thawed, and does not say that it is")
            return self._ended(ward)
        if frozen is False:
            return self._over_if_due(ward)
        state = vm.facts().state
        if state not in ALIVE:
            return self._over(ward)
        if state == VmState.PAUSED:
            raise Lasts("the VM is paused, and whether its filesystems are frozen cannot be asked")
        raise Lasts("its guest agent does not say whether its filesystems are frozen")

    def _end_pause(self, ward: Ward, vm: Vm) -> None:
        if not _is_paused_by_us(ward, vm):
            self._paused_since = None
            return self._over_if_due(ward)
        self._paused_since = self._paused_since or now()
        if now() < self._paused_since + ward.budget_s and self._has_a_chance(ward, vm):
            return None
        self._mark(ward, broken=True)
        if vm.activity() == "snapshot":
            vm.abort_activity()
        # While a call of libvirt is under way it lets this wait, and refuses it after 30 s: nothing is torn.
        vm.resume()
        if vm.facts().state == VmState.PAUSED:
            raise Lasts("it was resumed, and is paused still")
        return self._ended(ward)

    def _has_a_chance(self, ward: Ward, vm: Vm) -> bool:
        """Whether somebody may still end it: its worker, or libvirt, which goes on with a snapshot without one."""
        return identity.is_alive(ward.holder) or vm.activity() is not None

    # --- how it ends ----------------------------------------------------------------------------

    def _over_if_due(self, ward: Ward) -> None:
        """Nothing lasts. What a worker asked for before it died may still begin, though, and one that lives will tell."""
        if not ward.is_late:
            return
        if not identity.is_alive(ward.holder) or now() > ward.began + ward.budget_s + LINGER_S:
            self._over(ward)

    def _over(self, ward: Ward) -> None:
        """It lasts no more, and not by what was done here."""
        self._folder.remove(ward)
        if ward.alarmed is not None:
            self._say(ward, _ENDED[ward.kind], Level.INFO, "is over")

    def _ended(self, ward: Ward) -> None:
        self._folder.remove(ward)
        self._say(ward, _ENDED[ward.kind], Level.WARNING, "was ended by the watchdog")

    def _alarm(self, ward: Ward, why: str) -> None:
        """Tells that it lasts, once it does for too long, and again from time to time. The record stays: it is tried again."""
        logger.info("the %s of %s could not be ended: %s", ward.kind, ward.name, why)
        ward = self._folder.ward(ward.vm, ward.job) or ward
        if ward.is_late and (ward.alarmed is None or now() >= ward.alarmed + ALARM_S):
            self._mark(ward, alarmed=now())
            self._say(ward, _LASTS[ward.kind], Level.ERROR, f"could not be ended: {why}")

    def _mark(self, ward: Ward, **facts: Any) -> None:
        """On a full disk the guest comes first. A ward that is gone in the end says as much to its worker as a marked one."""
        with _full_disks_borne():
            self._folder.change(ward, **facts)

    def _say(self, ward: Ward, type_: EventType, level: Level, what: str) -> None:
        after_s = round(now() - ward.began, 1)
        message = f"The {ward.kind} of {ward.name} that job {ward.job} began {after_s:g} s before {what}."
        logger.log(logging.INFO if level == Level.INFO else logging.WARNING, message)
        data = {
            "name": ward.name,
            "after_s": after_s,
            "budget_s": ward.budget_s,
            "worker_lives": identity.is_alive(ward.holder),
        }
        self._folder.say(Word(vm=ward.vm, job=ward.job, type=type_, level=level, message=message, data=data))


@contextmanager
def _full_disks_borne() -> Iterator[None]:
    try:
        yield
    except (OSError, VmNotLocked):
        logger.exception("the watch folder could not be written to")


def _is_paused_by_us(ward: Ward, vm: Vm) -> bool:
    facts = vm.facts()
    if facts.state != VmState.PAUSED:
        return False
    if facts.reason == "migration":
        # Libvirt's word for the last of a save as well. A VM that somebody migrates is not to run a second time.
        return not (vm.activity() or "").startswith("migration")
    return facts.reason in (LEFT_BY_A_CUT | {"user"} if ward.ours else LEFT_BY_A_CUT)


def main() -> int:
    """Watches over this host until it is killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings.from_env()
    folder = WatchFolder(settings.watch_folder, settings.host)
    logger.info("watching over what %s says", folder.path)
    Watchdog(folder, lambda: LibvirtHost(settings.libvirt_uri, settings.host, settings.agent_timeout_s)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
