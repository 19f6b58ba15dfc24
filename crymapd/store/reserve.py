"""The reserve: a file that keeps disk space for the owner, and is removed when the disk is full.

On a full disk the owner must still be able to log in, read, set flags and expunge, as expunging frees space.  All of
that needs a few blocks.  New mail, which is what fills disks, is refused before it takes the last of them.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from crymapd import log
from crymapd.unix import files

OCTETS = 1 << 20
"""The size of the reserve."""
_PLENTY = 16 * OCTETS
"""How many octets must be free before the reserve is made."""


def free_octets(directory: Path) -> int:
    """Return how many octets an ordinary user can still write to the file system of a directory. Raises OSError."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def refuse_if_full(directory: Path) -> None:
    """Refuse new mail on a file system that is almost full, so that the owner's databases can still be written.

    Raises:
        OSError: ENOSPC, with the directory.
    """
    if free_octets(directory) < 2 * OCTETS:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))


class Reserve:
    """The reserve of one account."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def provide(self) -> None:
        """Make the reserve if it is missing and there is plenty of space."""
        if self._path.exists() or free_octets(self._path.parent) < _PLENTY:
            return
        try:
            self._make()
        except OSError as error:
            log.no_reserve(error.strerror or str(error))

    def _make(self) -> None:
        fd = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE
        )
        try:
            os.posix_fallocate(fd, 0, OCTETS)
        except OSError:
            files.remove(self._path)
            raise
        finally:
            os.close(fd)

    def release_if_needed(self) -> None:
        """Remove the reserve before something is written, if there is hardly any space left."""
        with suppress(OSError):  # whoever writes next is told by the file system what is wrong
            if free_octets(self._path.parent) < OCTETS and files.remove(self._path):
                log.reserve_released()
