"""Waiting for a change in a user directory, with inotify, with kqueue, or by looking every second.

A `Watcher` says that something may have changed, not what: for that, the reader asks the database.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

if sys.platform == "linux":  # imported at the top, since a confined worker cannot read the program's own files
    from inotify_simple import INotify, flags


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
        self._inotify = INotify(nonblocking=True)
        self._inotify.add_watch(signal, flags.MODIFY)
        self._watch_arrivals()

    def _watch_arrivals(self) -> None:
        self._inotify.add_watch(self._arrivals, flags.MOVED_TO | flags.CREATE | flags.MOVE_SELF)
        self._lost = False

    def fileno(self) -> int:
        if self._lost:
            with suppress(OSError):
                self._watch_arrivals()
        return int(self._inotify.fileno())

    def drain(self) -> bool:
        events = self._inotify.read(timeout=0)
        self._lost = self._lost or any(event.mask & (flags.IGNORED | flags.MOVE_SELF) for event in events)
        return bool(events)

    def close(self) -> None:
        self._inotify.close()


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
