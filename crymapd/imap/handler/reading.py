"""One message that a command looks at: its row, and what is loaded of it when first asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crymapd.errors import MessageGone
from crymapd.imap.columns import Row
from crymapd.store.lookup import SealedFile
from crymapd.store.reading import Message
from crymapd.store.store import Store

_PORTION = 1 << 20
_MANY = 100


def portions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows of Stored in runs of at most a MiB of messages (or one message): what is made of a run is held at once."""
    run: list[Row] = []
    octets = 0
    for row in rows:
        octets += row[5]
        if run and (octets > _PORTION or len(run) == _MANY):
            yield run
            run, octets = [], row[5]
        run.append(row)
    if run:
        yield run


class Reading:
    """Close it, so that an opened message file is closed."""

    __slots__ = ("_known", "_message", "_raw_header", "_store", "row")

    def __init__(self, store: Store, row: Row, header: bytes | None = None, known: SealedFile | None = None) -> None:
        self.row = row
        self._store = store
        self._raw_header = header
        self._message: Message | None = None
        self._known = known

    @property
    def message(self) -> Message:
        if self._message is None:
            self._message = self._store.read(self.row[4], self._known)
        return self._message

    @property
    def raw_header(self) -> bytes:
        """The top-level header block, as far as it was kept. Raises MessageGone."""
        if self._raw_header is None:
            self._raw_header = self._store.headers([self.row[4]]).get(self.row[4])
        if self._raw_header is None:
            raise MessageGone("the message was purged")
        return self._raw_header

    def close(self) -> None:
        if self._message is not None:
            self._message.close()
