"""Counts by subject that fade, in a file of bounded size that all workers share."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from crymapd.unix import files
from crymapd.unix.byte_locks import ByteLocks

_BUCKETS = 4096
_ENTRIES = 4
"""In each bucket. When all are taken, the one that counts least makes room."""
_ENTRY = struct.Struct(">8sdd")
"""A mark of the subject, its count, and when (seconds since 1970) it was that."""
_BUCKET = _ENTRIES * _ENTRY.size
_KEY = 32
"""Random octets at the beginning of the file: without them nobody can choose subjects that share a bucket."""
_SIZE = _KEY + _BUCKETS * _BUCKET
_MAKING = 1 << 40
"""The number of the lock for making the file."""


class _Entry(NamedTuple):
    mark: bytes
    amount: float
    time: float


class Tally:
    """Counts, each of which halves in a given time. Nothing has to be removed: whatever fades makes room."""

    def __init__(self, directory: int, name: str, half_life_seconds: float) -> None:
        """Open the file; make it if it is missing.

        Args:
            directory: a descriptor of the directory.
            name: of the file.
            half_life_seconds: the time in which a count halves.

        Raises:
            OSError: it cannot be opened for writing.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(name, flags, files.PRIVATE_FILE, dir_fd=directory)
        self._locks = ByteLocks(self._fd)
        self._half_life = half_life_seconds
        try:
            self._locks.wait(_MAKING)
            if os.fstat(self._fd).st_size != _SIZE:
                self._make()
            self._locks.free(_MAKING)
            self.key = os.pread(self._fd, _KEY, 0)
        except OSError:
            os.close(self._fd)
            raise

    def _make(self) -> None:
        """Write all octets of the file, so that counting needs no room on a disk that becomes full later."""
        os.ftruncate(self._fd, 0)
        content = secrets.token_bytes(_KEY) + bytes(_SIZE - _KEY)
        if os.pwrite(self._fd, content, 0) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def count(self, subject: str) -> float:
        """What a subject's count has become by now."""
        mark, bucket = self._place(subject)
        return sum(entry.amount for entry in self._read(bucket) if entry.mark == mark)

    def add(self, subject: str, amount: float) -> None:
        """Add to a subject's count."""
        self._set(subject, lambda count: count + amount)

    def set(self, subject: str, count: float) -> None:
        """Make a subject's count this; 0 forgets the subject."""
        self._set(subject, lambda _count: count)

    def close(self) -> None:
        os.close(self._fd)

    def _set(self, subject: str, change: Callable[[float], float]) -> None:
        mark, bucket = self._place(subject)
        with self._locked(bucket):
            entries = self._read(bucket)
            at = next((at for at, entry in enumerate(entries) if entry.mark == mark), None)
            count = change(0.0 if at is None else entries[at].amount)
            if at is None:
                if not count:
                    return
                at = min(range(_ENTRIES), key=lambda at: entries[at].amount)
            entry = _ENTRY.pack(mark, count, time.time())
            os.pwrite(self._fd, entry, _KEY + bucket * _BUCKET + at * _ENTRY.size)

    @contextmanager
    def _locked(self, bucket: int) -> Iterator[None]:
        self._locks.wait(bucket * _BUCKET)
        try:
            yield
        finally:
            self._locks.free(bucket * _BUCKET)

    def _read(self, bucket: int) -> list[_Entry]:
        """The entries of a bucket, with what their counts have become by now."""
        content = os.pread(self._fd, _BUCKET, _KEY + bucket * _BUCKET).ljust(_BUCKET, b"\0")
        now = time.time()
        return [
            _Entry(mark, count * 0.5 ** (max(now - then, 0.0) / self._half_life), then)
            for mark, count, then in _ENTRY.iter_unpack(content)
        ]

    def _place(self, subject: str) -> tuple[bytes, int]:
        """The mark of a subject and the number of its bucket."""
        digest = hashlib.blake2b(subject.encode(errors="replace"), key=self.key).digest()
        return digest[:8], int.from_bytes(digest[8:10], "big") % _BUCKETS
