"""Waiting for a change in a user directory: inotify, kqueue, or a look every second.

One seam, `Watcher`: `fileno()` for poll (or None, then wake at least every `interval` seconds),
`drain()` to forget what was signalled and say whether it concerns us.  What changed is not told
here; the reader asks the database.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

if sys.platform == "linux":  # at import: a confined worker cannot reach the program's own files
    from inotify_simple import INotify, flags


class Watcher(Protocol):
    """Signals that something was written under the watched directory."""

    interval: float | None

    def fileno(self) -> int | None: ...

    def drain(self) -> bool: ...

    def close(self) -> None: ...


class Inotify:
    """Linux: one descriptor, two watches, no wake-up without a change."""

    interval: float | None = None

    def __init__(self, signal: Path, arrivals: Path) -> None:
        self._arrivals = arrivals
        self._lost = False  # the directory of arrivals was removed; whoever looks into it makes it again
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
        found = self._inotify.read(timeout=0)
        self._lost = self._lost or any(event.mask & (flags.IGNORED | flags.MOVE_SELF) for event in found)
        return bool(found)

    def close(self) -> None:
        self._inotify.close()


class Kqueue:
    """The BSDs: vnode events on the signal file and the arrivals directory.

    Never run on FreeBSD by us; tested with a fake kernel that follows kqueue(2).
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
    """Anywhere else (and on network file systems): look at sizes and times every second."""

    interval: float | None = 1.0

    def __init__(self, signal: Path, arrivals: Path) -> None:
        self._paths = (signal, arrivals)
        self._seen = self._look()

    def _look(self) -> list[tuple[int, int]]:
        found = []
        for path in self._paths:
            try:
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size))
            except FileNotFoundError:
                found.append((0, 0))
        return found

    def fileno(self) -> None:
        return None

    def drain(self) -> bool:
        before, self._seen = self._seen, self._look()
        return before != self._seen

    def close(self) -> None:
        """Nothing is held."""


def watch(signal: Path, arrivals: Path) -> Watcher:
    """The best watcher this kernel has; polling when its resources are used up.

    `signal` is a file that is written in place after each change, `arrivals` a directory.
    """
    try:
        if sys.platform == "linux":
            return Inotify(signal, arrivals)
        if hasattr(select, "kqueue"):
            return Kqueue(signal, arrivals)
    except OSError:
        pass  # out of watches or descriptors: slower notice is better than none
    return Polling(signal, arrivals)
