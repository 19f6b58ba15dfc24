"""Locks by number, between processes: each is one octet of a file, so that there may be as many as anybody wants.

They are record locks (fcntl(2)). The kernel frees them when the process ends, however it ends. Within one process they
exclude nobody, and closing any descriptor of the file frees all of them: open it once.
"""

from __future__ import annotations

import errno
import fcntl
import time

MOMENT_SECONDS = 2.0


class ByteLocks:
    """The locks in a file, which stays open as long as this object is used.

    Args:
        descriptor: the file, open for writing.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def take(self, number: int) -> bool:
        """Take a lock if nobody holds it, and return whether that went well."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except BlockingIOError:
            return False
        return True

    def wait(self, number: int) -> None:
        """Take a lock that others hold for a moment only, such as for writing a few octets.

        Raises:
            TimeoutError: somebody holds it for `MOMENT_SECONDS`.
        """
        deadline = time.monotonic() + MOMENT_SECONDS
        while not self.take(number):
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "somebody holds a lock that should be free")
            time.sleep(0.001)

    def free(self, number: int) -> None:
        """Give a lock back."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, number)
