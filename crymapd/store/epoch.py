"""The file `epoch`: how far the database has come, noted outside it and readable without the password.

It is written in place after each commit.  The count of changes shows when an older database was put back, the
octets are what a delivery must know for the quota, and the write itself wakes the sessions that wait
(`store/watch.py`).  A checksum shows a file that a crash has torn.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from crymapd.unix import files

_FORMAT = struct.Struct(">QQQI")


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the file says of the database.

    Attributes:
        changes: how often it has changed.
        octets: what its sealed files take on disk.
        files: how many sealed files it has.
    """

    changes: int
    octets: int
    files: int


def read_epoch(path: Path) -> Epoch | None:
    """Read the file; None where it is empty or damaged. Raises OSError."""
    return _parsed(files.read_small(path, 2 * _FORMAT.size))


def _parsed(content: bytes) -> Epoch | None:
    if len(content) != _FORMAT.size:
        return None
    *numbers, checksum = _FORMAT.unpack(content)
    return Epoch(*numbers) if checksum == zlib.crc32(content[:-4]) else None


class EpochFile:
    """The file held open by a session, which writes it with every commit."""

    def __init__(self, path: Path) -> None:
        """Open it, or create it where it is missing. Raises OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE)

    @property
    def changes(self) -> int:
        """The count of changes that clients may have seen; 0 where the file is empty or damaged."""
        epoch = _parsed(os.pread(self._fd, _FORMAT.size, 0))
        return 0 if epoch is None else epoch.changes

    def write(self, epoch: Epoch) -> None:
        """Note how far the database has come. Raises OSError."""
        numbers = struct.pack(">QQQ", epoch.changes, epoch.octets, epoch.files)
        os.pwrite(self._fd, numbers + struct.pack(">I", zlib.crc32(numbers)), 0)

    def close(self) -> None:
        os.close(self._fd)
