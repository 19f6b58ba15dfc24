"""Waiting until something happens: the kernel says that the store may have changed, the database says how.

The file to watch is `epoch`, which is written after each commit.  Watching the write-ahead log would be too
early: it is written before the commit is on stable storage and visible.
"""

from __future__ import annotations

import select
from collections.abc import Sequence

from crymapd.store.store import Store
from crymapd.unix.notify import Watcher, watch


class StoreWatch:
    """Waits for a change in one user's store or for octets from the client, whichever comes first."""

    def __init__(self, store: Store) -> None:
        self._watcher: Watcher = watch(store.components.layout.epoch, store.components.layout.new)

    def wait(self, client: Sequence[int], timeout: float) -> tuple[bool, bool]:
        """Wait for either.

        Args:
            client: the descriptors of which one can be read when the client wants something (`Channel.awaited`).
            timeout: how many seconds to wait at most.

        Returns:
            Whether the client wants something, and whether the store may have changed; both are False after the
            timeout, and may be after a second where the kernel gives no notice.
        """
        poller = select.poll()
        for fd in client:
            poller.register(fd, select.POLLIN)
        watcher_fd = self._watcher.fileno()
        if watcher_fd is not None:
            poller.register(watcher_fd, select.POLLIN)
        interval = self._watcher.interval
        ready = {fd for fd, _event in poller.poll(1000 * min(timeout, interval or timeout))}
        return not ready.isdisjoint(client), (watcher_fd in ready or interval is not None) and self._watcher.drain()

    def close(self) -> None:
        self._watcher.close()
