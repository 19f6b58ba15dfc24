"""Slowing down whoever guesses: each failed login from an address, or to an account, makes the next one take longer.

Only a failure waits. A right password is answered at once, so that no stranger can lock the owner out.
The counts are small files that all workers share; a count halves every minute.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time

from crymapd import log
from crymapd.unix import files

FREE = 3
"""So many failures cost nothing: people mistype."""
LONGEST_SECONDS = 15.0
HALF_LIFE_SECONDS = 60.0
_RECORD = struct.Struct(">dd")
"""The weight of all failures at the last one, and the time of the last one."""
_OWN_HOST = ("127.0.0.1", "::1", "local", "unknown")


class Throttle:
    """Counts of failures in a directory, given as a descriptor. Where it cannot be written, nobody is slowed down."""

    def __init__(self, directory: int | None) -> None:
        self._directory = directory

    def failed(self, address: str, user: str) -> float:
        """Count a failure; the seconds to wait before it is answered. This host itself never waits."""
        if address in _OWN_HOST:
            return 0.0
        now = time.time()
        return max(self._count(f"address {address}", now), self._count(f"account {user}", now))

    def _count(self, subject: str, now: float) -> float:
        if self._directory is None:
            return 0.0
        name = "failed-" + hashlib.sha256(subject.encode(errors="replace")).hexdigest()[:24]
        weight = 0.0
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, files.PRIVATE_FILE, dir_fd=self._directory)
            try:
                content = os.pread(fd, _RECORD.size, 0)
                before, last = _RECORD.unpack(content) if len(content) == _RECORD.size else (0.0, now)
                weight = before * 0.5 ** (max(now - last, 0.0) / HALF_LIFE_SECONDS) + 1
                os.pwrite(fd, _RECORD.pack(weight, now), 0)
            finally:
                os.close(fd)
        except OSError as error:
            log.no_state(f"state/{name}: {error.strerror}")
        return delay(weight)


def delay(failures: float) -> float:
    """The seconds that so many failures cost: nothing for the first few, then twice as long each time."""
    return 0.0 if failures <= FREE else min(0.5 * 2.0 ** (failures - FREE - 1), LONGEST_SECONDS)
