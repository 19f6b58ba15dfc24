"""A pool of lock files: at most so many processes on this host do something at once.

Its directory is given as a descriptor, so that a chroot does not matter.  Each process opens the files itself, as flock
locks belong to the open file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from crymapd import log
from crymapd.unix import files

PATIENCE_SECONDS = 60.0
"""How long to wait for a lock: a process that was stopped while it held one must not stop all logins."""
_PAUSE_SECONDS = 0.02


class LockPool:
    """`count` files in a directory; without a directory that can be written, no limit, which the log says."""

    def __init__(self, directory: int | None, count: int) -> None:
        self._fds: list[int] = []
        if directory is None:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            for index in range(count):
                name = f"login-{index}.lock"
                self._fds.append(os.open(name, flags, files.PRIVATE_FILE, dir_fd=directory))
        except OSError as error:
            log.no_state(f"state/{name}: {error.strerror}")

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold one of the locks, waiting for any of them when all are taken.

        Raises:
            TimeoutError: all were held by other processes for `PATIENCE_SECONDS`.
        """
        fd = self._take()
        try:
            yield
        finally:
            if fd is not None:
                fcntl.flock(fd, fcntl.LOCK_UN)

    def _take(self) -> int | None:
        if not self._fds:
            return None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            for fd in random.sample(self._fds, len(self._fds)):
                with suppress(BlockingIOError):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return fd
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "as many passwords are being checked as may be at once")
            time.sleep(_PAUSE_SECONDS)
