"""One message that a command reads: its row, and the parts of it that are loaded when they are first needed."""

from __future__ import annotations

from crymapd.errors import MessageGone
from crymapd.store.message import Message
from crymapd.store.rows import SealedFile, Stored
from crymapd.store.store import Store


class Reading:
    """A message for as long as one command reads it. It must be closed, because it may hold an open file."""

    __slots__ = ("_message", "_raw_header", "_sealed_file", "_store", "row")

    def __init__(
        self, store: Store, row: Stored, header: bytes | None = None, sealed_file: SealedFile | None = None
    ) -> None:
        """Begin to read a message.

        Args:
            store: the store that has the message.
            row: the full row of the message.
            header: the top-level header block, if it has been loaded before.
            sealed_file: where the message lies, if that has been looked up before.
        """
        self.row = row
        self._store = store
        self._raw_header = header
        self._message: Message | None = None
        self._sealed_file = sealed_file

    @property
    def message(self) -> Message:
        if self._message is None:
            self._message = self._store.read(self.row.message, self._sealed_file)
        return self._message

    @property
    def raw_header(self) -> bytes:
        """The top-level header block, as far as the index keeps it.

        Raises:
            MessageGone: the message was purged.
        """
        if self._raw_header is None:
            self._raw_header = self._store.headers([self.row.message]).get(self.row.message)
        if self._raw_header is None:
            raise MessageGone("the message was purged")
        return self._raw_header

    def close(self) -> None:
        if self._message is not None:
            self._message.close()
