"""Knowing that something happened: the kernel's notice, then the database's word for it.

The notice is the write to `epoch`, which follows each commit.  The write-ahead log would be too early:
it is written before the commit is on stable storage and visible.
"""

from __future__ import annotations

import select

from crymapd.store.store import Store
from crymapd.unix.notify import Watcher, watch


class StoreWatch:
    """Waits for a change in one user's store, or for octets from the client."""

    def __init__(self, store: Store) -> None:
        self._watcher: Watcher = watch(store.parts.layout.epoch, store.parts.layout.new)

    def wait(self, client: int, timeout: float) -> tuple[bool, bool]:
        """Wait for either: (the client sent something, the store may have changed); both False when time ran out."""
        poller = select.poll()
        poller.register(client, select.POLLIN)
        own = self._watcher.fileno()
        if own is not None:
            poller.register(own, select.POLLIN)
        interval = self._watcher.interval
        ready = {fd for fd, _event in poller.poll(1000 * min(timeout, interval or timeout))}
        return client in ready, (own in ready or interval is not None) and self._watcher.drain()

    def close(self) -> None:
        self._watcher.close()
