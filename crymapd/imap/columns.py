"""FETCH answers, a column of values for each item: one formatting makes a message's line.

What rows and the index hold lies ready for the wire; nothing here opens a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.store.view import View

Row = tuple[Any, ...]
"""`store.lookup.Entry`, or for what only whole messages have, `store.lookup.Stored`."""


class Flags:
    """Flag sets as they go over the wire, each put together once."""

    def __init__(self, session: Session, view: View) -> None:
        self._meta = session.store.meta
        self._view = view
        self._known: dict[int, bytes] = {}

    def of(self, rows: Sequence[Row]) -> list[bytes]:
        known = self._known
        for flagset in {row[1] for row in rows}.difference(known):
            known[flagset] = self._meta.flags_of(flagset).encode("ascii")
        if not self._view.recent:
            return [known[row[1]] for row in rows]
        recent = {flagset: b"\\Recent " + text if text else b"\\Recent" for flagset, text in known.items()}
        is_recent = self._view.is_recent
        return [recent[row[1]] if is_recent(row[0]) else known[row[1]] for row in rows]


@dataclass
class Batch:
    """Messages that are answered together.

    Attributes:
        answers: what the index has ready, by message id, in the order of `index.RENDERED` names asked for.
        headers: top-level header blocks, by message id.
        utf8: whether the client takes UTF-8 in quoted strings.
    """

    rows: Sequence[Row]
    flags: Flags
    answers: Mapping[int, tuple[bytes | None, ...]] = field(default_factory=dict)
    headers: Mapping[int, bytes] = field(default_factory=dict)
    utf8: bool = False

    @cached_property
    def ready(self) -> list[tuple[bytes | None, ...]]:
        """`answers` by row."""
        return [self.answers[row[4]] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Column:
    """How an item is written, and its value for each row; None where the message itself must be asked."""

    template: bytes
    values: Callable[[Batch], Sequence[object]]


UID = Column(b"UID %d", lambda batch: [row[0] for row in batch.rows])
FLAGS = Column(b"FLAGS (%b)", lambda batch: batch.flags.of(batch.rows))
MODSEQ = Column(b"MODSEQ (%d)", lambda batch: [row[2] for row in batch.rows])

OF_ENTRIES = {b"UID": UID, b"FLAGS": FLAGS, b"MODSEQ": MODSEQ}
OF_ROWS = {
    **OF_ENTRIES,
    b"RFC822.SIZE": Column(b"RFC822.SIZE %d", lambda batch: [row[5] for row in batch.rows]),
    b"INTERNALDATE": Column(b"INTERNALDATE %b", lambda batch: [writer.date_time(row[6], row[7]) for row in batch.rows]),
    b"SAVEDATE": Column(b"SAVEDATE %b", lambda batch: [writer.date_time(row[3], 0) for row in batch.rows]),
    b"EMAILID": Column(b"EMAILID (%b)", lambda batch: [email_id(row) for row in batch.rows]),
    b"THREADID": Column(b"THREADID %b", lambda batch: [_thread_id(row) for row in batch.rows]),
}
OF_INDEX = {b"ENVELOPE": "envelope", b"BODY": "body", b"BODYSTRUCTURE": "structure", b"PREVIEW": "preview"}
"""Items by their names in `index.RENDERED`."""


def email_id(row: Row) -> bytes:
    """EMAILID (RFC 8474 section 5.1)."""
    return b"M%b" % row[8].hex().encode("ascii")


def thread_id(row: Row) -> bytes | None:
    """THREADID (RFC 8474 section 5.2); None where it was not kept when the message was filed."""
    return None if row[9] is None else b"T" + row[9].hex().encode("ascii")


def _thread_id(row: Row) -> bytes:
    found = thread_id(row)
    return b"NIL" if found is None else b"(%b)" % found


def of_index(item: bytes, at: int) -> Column:
    """An item of OF_INDEX that is the `at`-th of what was asked of the index."""
    template = item + b" %b"
    if item == b"PREVIEW":
        return Column(
            template, lambda batch: [writer.string(ready[at] or b"", utf8=batch.utf8) for ready in batch.ready]
        )
    return Column(template, lambda batch: [ready[at] or b"NIL" for ready in batch.ready])


def written(numbers: Sequence[int], columns: Sequence[Column], batch: Batch) -> bytes:
    """One FETCH line for each message with a sequence number other than 0; for columns without None."""
    template = b"* %d FETCH (" + b" ".join([column.template for column in columns]) + b")\r\n"
    values = zip(numbers, *[column.values(batch) for column in columns], strict=True)
    return b"".join([template % line for line in values if line[0]])
