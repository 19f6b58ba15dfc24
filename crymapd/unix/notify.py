"""Waiting for a change in a user directory: inotify, kqueue, or a look every second.

One seam, `Watcher`: `fileno()` for poll (or None, then wake at least every `interval` seconds),
`drain()` to forget what was signalled and say whether it concerns us.  What changed is not told
here; the reader asks the database.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import Protocol

if sys.platform == "linux":  # at import: a confined worker cannot reach the program's own files
    from inotify_simple import INotify, flags


class Watcher(Protocol):
    """Signals that something was written under the watched directory."""

    interval: float | None

    def fileno(self) -> int | None: ...

    def drain(self) -> bool: ...

    def close(self) -> None: ...


DATABASE_PREFIX = "meta.db"


class Inotify:
    """Linux: one descriptor, two watches, no wake-up without a change."""

    interval: float | None = None

    def __init__(self, directory: Path, arrivals: Path) -> None:
        self._inotify = INotify(nonblocking=True)
        written = flags.MODIFY | flags.MOVED_TO | flags.CREATE
        self._home = self._inotify.add_watch(directory, written)
        self._inotify.add_watch(arrivals, flags.MOVED_TO | flags.CREATE)

    def fileno(self) -> int:
        return int(self._inotify.fileno())

    def drain(self) -> bool:
        events = self._inotify.read(timeout=0)
        return any(e.wd != self._home or e.name.startswith(DATABASE_PREFIX) for e in events)

    def close(self) -> None:
        self._inotify.close()


class Kqueue:
    """The BSDs: vnode events on the arrivals directory and the write-ahead log.

    The log may come and go with the last connection, so its descriptor is renewed at each drain.
    """

    interval: float | None = 30.0

    def __init__(self, directory: Path, arrivals: Path, kernel: object = select) -> None:
        self._kernel: object = kernel
        self._kqueue = kernel.kqueue()  # type: ignore[attr-defined]  # absent on Linux
        self._log = directory / (DATABASE_PREFIX + "-wal")
        self._fds: dict[Path, int] = {}
        for path in (directory, arrivals):
            self._watch(path)
        self._watch_log()

    def _watch(self, path: Path) -> None:
        kernel: object = self._kernel
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        event = kernel.kevent(  # type: ignore[attr-defined]
            fd,
            filter=kernel.KQ_FILTER_VNODE,  # type: ignore[attr-defined]
            flags=kernel.KQ_EV_ADD | kernel.KQ_EV_CLEAR,  # type: ignore[attr-defined]
            fflags=kernel.KQ_NOTE_WRITE | kernel.KQ_NOTE_EXTEND | kernel.KQ_NOTE_DELETE,  # type: ignore[attr-defined]
        )
        self._kqueue.control([event], 0, 0)
        self._fds[path] = fd

    def _watch_log(self) -> None:
        old = self._fds.pop(self._log, None)
        if old is not None:
            os.close(old)
        if self._log.exists():
            self._watch(self._log)

    def fileno(self) -> int:
        return int(self._kqueue.fileno())

    def drain(self) -> bool:
        events = self._kqueue.control(None, 64, 0)
        if events:
            self._watch_log()
        return bool(events)

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._kqueue.close()


class Polling:
    """Anywhere else (and on network file systems): look at sizes and times every second."""

    interval: float | None = 1.0

    def __init__(self, directory: Path, arrivals: Path) -> None:
        self._paths = (arrivals, directory / (DATABASE_PREFIX + "-wal"), directory / DATABASE_PREFIX)
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


def watch(directory: Path, arrivals: Path) -> Watcher:
    """The best watcher this kernel has; polling when its resources are used up."""
    try:
        if sys.platform == "linux":
            return Inotify(directory, arrivals)
        if hasattr(select, "kqueue"):
            return Kqueue(directory, arrivals)
    except OSError:
        pass  # out of watches or descriptors: slower notice is better than none
    return Polling(directory, arrivals)
