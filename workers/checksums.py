"""The checksums of large volume snapshots, computed after the job: the copy is durable and usable without, and neither
the VM's next job nor the person who waits should wait for every byte to be read once more.
"""

import contextlib
import json
import logging
import os
import threading
import time
from uuid import UUID

from sqlalchemy import Engine

from hypervisor.port import Images
from models.session import DatabaseAway, transaction
from models.snapshots.checksums import Unsummed, keep_checksum, next_unsummed
from stillframe.errors import StillframeError
from workers.operations.extract_volume import manifest_of

logger = logging.getLogger(__name__)

#: Seconds between two looks for images that are still to be summed up.
LOOK_S = 2.0


class Checksums:
    """Sums up the images of one host, one after the other, when the machine has nothing better to do."""

    def __init__(self, engine: Engine, images: Images, host: str) -> None:
        self._engine = engine
        self._images = images
        self._host = host
        #: Images that could not be read; the next keeper tries them again.
        self._given_up: set[UUID] = set()

    def begin(self) -> None:
        """For ever, in a thread of its own."""
        threading.Thread(target=self._run, name="checksums", daemon=True).start()

    def sum_next(self) -> bool:
        """Sums up one image; False if there is none."""
        with transaction(self._engine) as session:
            found = next_unsummed(session, self._host, self._given_up)
        if found is None:
            return False
        try:
            self._sum(found)
        except (OSError, ValueError, StillframeError) as error:
            logger.warning("%s cannot be summed up: %s", found.path, error)
            self._given_up.add(found.id)
        return True

    def _sum(self, found: Unsummed) -> None:
        sha256 = self._images.sha256(found.path, lambda *_: None)
        manifest = manifest_of(found.path)
        if text := self._images.read_text(manifest):
            self._images.write_text(manifest, json.dumps(json.loads(text) | {"sha256": sha256}))
            if not self._images.exists(found.path):  # it was deleted meanwhile
                self._images.remove(manifest)
        with transaction(self._engine) as session:
            keep_checksum(session, found.id, sha256)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            # Of this thread alone: Linux takes a thread's id for a process's.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        while True:
            try:
                if not self.sum_next():
                    time.sleep(LOOK_S)
            except DatabaseAway as error:
                logger.warning("the database is away: %s", error.orig)
                time.sleep(LOOK_S)
