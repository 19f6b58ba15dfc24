"""Waiting for a change in a user directory, with inotify, with kqueue, or by looking every second.

A `Watcher` says that something may have changed, not what: for that, the reader asks the database.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

_LIBC = ctypes.CDLL(None, use_errno=True)
"""The C library that Python itself has loaded.  Libraries for inotify look for it with `ctypes.util.find_library`,
which runs ldconfig, gcc and ld: in the chroot of a worker these would be whatever the user has put there."""
_MODIFY, _MOVED_TO, _CREATE, _MOVE_SELF, _IGNORED = 0x2, 0x80, 0x100, 0x800, 0x8000
_EVENT = struct.Struct("iIII")
"""inotify(7): watch, mask, cookie, length of the name that follows."""
_READ_OCTETS = 1 << 16


class Watcher(Protocol):
    """Signals that something was written.

    Attributes:
        interval: call `drain` at least every so many seconds; None if `fileno` becomes readable at every change.
    """

    interval: float | None

    def fileno(self) -> int | None:
        """The descriptor to poll; None if this watcher has none."""

    def drain(self) -> bool:
        """Forget all signals up to now, and return whether there were any."""

    def close(self) -> None:
        """Close the descriptors."""


class Inotify:
    """For Linux: one descriptor with two watches, which wakes nobody without a change."""

    interval: float | None = None

    def __init__(self, signal: Path, arrivals: Path) -> None:
        self._arrivals = arrivals
        self._lost = False  # whether the directory of arrivals was removed; filing makes it again
        self._fd = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            self._add_watch(signal, _MODIFY)
            self._watch_arrivals()
        except OSError:
            os.close(self._fd)
            raise

    def _add_watch(self, path: Path, mask: int) -> None:
        _checked(_LIBC.inotify_add_watch(self._fd, os.fsencode(path), mask))

    def _watch_arrivals(self) -> None:
        self._add_watch(self._arrivals, _MOVED_TO | _CREATE | _MOVE_SELF)
        self._lost = False

    def fileno(self) -> int:
        if self._lost:
            with suppress(OSError):
                self._watch_arrivals()
        return self._fd

    def drain(self) -> bool:
        masks: list[int] = []
        with suppress(BlockingIOError):  # there are no more events
            while True:
                masks += _masks(os.read(self._fd, _READ_OCTETS))
        self._lost = self._lost or any(mask & (_IGNORED | _MOVE_SELF) for mask in masks)
        return bool(masks)

    def close(self) -> None:
        os.close(self._fd)


def _masks(events: bytes) -> Iterator[int]:
    """What has happened, of each event that was read."""
    at = 0
    while at < len(events):
        _watch, mask, _cookie, length = _EVENT.unpack_from(events, at)
        yield mask
        at += _EVENT.size + length


def _checked(result: int) -> int:
    """Return what a function of the C library returned, or raise OSError."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Kqueue:
    """For the BSDs: vnode events on the signal file and on the directory of arrivals.

    We have never run it on FreeBSD; the tests use a fake kernel that behaves as kqueue(2) says.
    """

    interval: float | None = None

    def __init__(self, signal: Path, arrivals: Path, kernel: Any = select) -> None:
        self._kqueue = kernel.kqueue()
        self._fds = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in (signal, arrivals)]
        events = [
            kernel.kevent(
                fd,
                filter=kernel.KQ_FILTER_VNODE,
                flags=kernel.KQ_EV_ADD | kernel.KQ_EV_CLEAR,
                fflags=kernel.KQ_NOTE_WRITE | kernel.KQ_NOTE_EXTEND,
            )
            for fd in self._fds
        ]
        self._kqueue.control(events, 0, 0)

    def fileno(self) -> int:
        return int(self._kqueue.fileno())

    def drain(self) -> bool:
        return bool(self._kqueue.control(None, 64, 0))

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._kqueue.close()


class Polling:
    """For any other system, and for want of watches: compares sizes and times every second."""

    interval: float | None = 1.0

    def __init__(self, signal: Path, arrivals: Path) -> None:
        self._paths = (signal, arrivals)
        self._states = self._look()

    def _look(self) -> list[tuple[int, int]]:
        states = []
        for path in self._paths:
            try:
                status = path.stat()
                states.append((status.st_mtime_ns, status.st_size))
            except FileNotFoundError:
                states.append((0, 0))
        return states

    def fileno(self) -> None:
        return None

    def drain(self) -> bool:
        before, self._states = self._states, self._look()
        return before != self._states

    def close(self) -> None:
        """Do nothing, as nothing is open."""


def watch(signal: Path, arrivals: Path) -> Watcher:
    """Choose the best watcher that this kernel has, or polling if it has run out of resources.

    Args:
        signal: a file that is written in place after each change.
        arrivals: a directory into which files are moved.
    """
    try:
        if sys.platform == "linux":
            return Inotify(signal, arrivals)
        if hasattr(select, "kqueue"):
            return Kqueue(signal, arrivals)
    except OSError:
        pass  # out of watches or descriptors: learning of changes late is better than never
    return Polling(signal, arrivals)
