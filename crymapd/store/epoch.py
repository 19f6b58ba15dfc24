"""The file `epoch`: how far `meta.db` has come, noted outside it and readable without the password.

It is written in place after each commit.  Its count of changes reveals that an older database was put back, its
octets tell a delivery how much of the quota is used, and writing it wakes the sessions that wait
(`store/watch.py`).  Its checksum reveals that a crash has torn it.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from crymapd.unix import files

_FORMAT = struct.Struct(">QQQI")
_TOO_LARGE = 1 << 62
"""No disk holds so much mail. Whoever writes such numbers wants deliveries to be refused."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the file says of the database.

    Attributes:
        changes: the number of committed transactions.
        octets: how much disk space the sealed files in use take.
        files: the number of these files.
    """

    changes: int
    octets: int
    files: int


def read_epoch(path: Path) -> Epoch | None:
    """Read the file; None if it is empty or damaged. Raises OSError."""
    return _parsed(files.read_small(path, 2 * _FORMAT.size))


def _parsed(content: bytes) -> Epoch | None:
    if len(content) != _FORMAT.size:
        return None
    changes, octets, count, checksum = _FORMAT.unpack(content)
    is_plausible = octets < _TOO_LARGE and count < _TOO_LARGE
    return Epoch(changes, octets, count) if is_plausible and checksum == zlib.crc32(content[:-4]) else None


class EpochFile:
    """The file held open by a session, which writes it with every commit."""

    def __init__(self, path: Path, directory: int | None = None) -> None:
        """Open the file, or create it if it is missing; the path may be relative to a directory.

        Raises:
            OSError: it cannot be opened, or is no regular file.
        """
        self.name = path.name
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(path, flags, files.PRIVATE_FILE, dir_fd=directory)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            raise OSError(errno.EINVAL, "not a regular file", str(path))

    @property
    def changes(self) -> int:
        """The number of changes that clients may have seen; 0 if the file is empty or damaged."""
        epoch = _parsed(os.pread(self._fd, _FORMAT.size, 0))
        return 0 if epoch is None else epoch.changes

    def write(self, epoch: Epoch) -> None:
        """Note how far the database has come. Raises OSError."""
        numbers = struct.pack(">QQQ", epoch.changes, epoch.octets, epoch.files)
        os.pwrite(self._fd, numbers + struct.pack(">I", zlib.crc32(numbers)), 0)

    def close(self) -> None:
        os.close(self._fd)
