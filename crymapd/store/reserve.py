"""Room on the disk that is kept for the owner: a file that goes when the disk is full.

On a full disk the owner must still be able to log in, read, set flags and expunge, which is how it gets room again.
All of that needs a few blocks.  New mail, which is what fills disks, stops before it takes the last of them.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from crymapd import log
from crymapd.unix import files

OCTETS = 1 << 20
"""How much is kept."""
_PLENTY = 16 * OCTETS
"""How much must be free for the reserve to be made (again)."""


def free_octets(directory: Path) -> int:
    """How many octets an ordinary user may still write to the file system of a directory."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def refuse_if_full(directory: Path) -> None:
    """Leave the last of the room to the owner's databases.

    Raises:
        OSError: ENOSPC, with the directory.
    """
    if free_octets(directory) < 2 * OCTETS:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))


class Reserve:
    """The file of one account."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def provide(self) -> None:
        """Make the reserve where it is missing and there is plenty of room."""
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
        """Give the room to what is about to be written, if there is hardly any left."""
        with suppress(OSError):  # the file system will say what is wrong to whoever writes next
            if free_octets(self._path.parent) < OCTETS and files.remove(self._path):
                log.reserve_released()
