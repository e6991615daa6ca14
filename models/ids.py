"""Ids of rows: UUID version 7, so that what is made later sorts later and index pages stay warm."""

import os
import time
from uuid import UUID


def new_id() -> UUID:
    """A fresh id: 48 bits of milliseconds, 12 bits of a millisecond's fraction, 62 random bits."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8)) & (2**62 - 1)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (fraction << 64) | (2 << 62) | random)
