"""Knowing that something happened: the kernel's notice, then the database's word for it."""

from __future__ import annotations

import select

from crymapd.store.store import Store
from crymapd.unix.notify import Watcher, watch


class StoreWatch:
    """Waits for a change in one user's store, or for octets from the client."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watcher: Watcher = watch(store.layout.home, store.layout.new)
        self._version = store.meta.db.data_version()

    def wait(self, client: int, timeout: float) -> tuple[bool, bool]:
        """(the client sent something, the store may have changed); both False when time ran out."""
        poller = select.poll()
        poller.register(client, select.POLLIN)
        own = self._watcher.fileno()
        if own is not None:
            poller.register(own, select.POLLIN)
        interval = self._watcher.interval
        ready = {fd for fd, _event in poller.poll(1000 * min(timeout, interval or timeout))}
        return client in ready, (own in ready or interval is not None) and self._watcher.drain()

    def changed(self) -> bool:
        """File what arrived; whether other processes or we ourselves have committed since last asked."""
        filed = self._store.file_arrivals()
        before, self._version = self._version, self._store.meta.db.data_version()
        return bool(filed) or before != self._version

    def close(self) -> None:
        self._watcher.close()
