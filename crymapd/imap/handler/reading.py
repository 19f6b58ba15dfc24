"""One message that a command looks at: its row, and what is loaded of it when first asked for."""

from __future__ import annotations

from crymapd.errors import MessageGone
from crymapd.store.message import Message
from crymapd.store.rows import SealedFile, Stored
from crymapd.store.store import Store


class Reading:
    """A message being answered; it must be closed, so that an opened file is."""

    __slots__ = ("_known", "_message", "_raw_header", "_store", "row")

    def __init__(self, store: Store, row: Stored, header: bytes | None = None, known: SealedFile | None = None) -> None:
        self.row = row
        self._store = store
        self._raw_header = header
        self._message: Message | None = None
        self._known = known

    @property
    def message(self) -> Message:
        if self._message is None:
            self._message = self._store.read(self.row.message, self._known)
        return self._message

    @property
    def raw_header(self) -> bytes:
        """The top-level header block, as far as it was kept. Raises MessageGone."""
        if self._raw_header is None:
            self._raw_header = self._store.headers([self.row.message]).get(self.row.message)
        if self._raw_header is None:
            raise MessageGone("the message was purged")
        return self._raw_header

    def close(self) -> None:
        if self._message is not None:
            self._message.close()
