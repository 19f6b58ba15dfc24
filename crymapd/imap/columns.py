"""FETCH answers, a column of values for each item: one formatting makes the lines of many messages.

What rows and the index hold lies ready for the wire; nothing here opens a message.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from typing import Any

from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.store.lookup import STORED_COLUMNS
from crymapd.store.view import View

Row = tuple[Any, ...]
"""`store.lookup.Entry`, or for what only whole messages have, `store.lookup.Stored`."""

Values = Sequence[Sequence[Any]]
"""Columns of such rows, ascending by UID."""


def values_of(rows: Sequence[Row]) -> Values:
    """Rows of one length as columns; as many as any has where there are none."""
    return tuple(zip(*rows, strict=True)) or ((),) * STORED_COLUMNS


class Flags:
    """Flag sets as they go over the wire, each put together once."""

    def __init__(self, session: Session, view: View) -> None:
        self._meta = session.store.meta
        self._view = view
        self._known: dict[int, bytes] = {}

    def of(self, uids: Sequence[int], flagsets: Sequence[int]) -> list[bytes]:
        """For messages by ascending UID; with \\Recent where this session has it."""
        known = self._known
        for flagset in set(flagsets).difference(known):
            known[flagset] = self._meta.flags_of(flagset).encode("ascii")
        texts = list(map(known.__getitem__, flagsets))
        for low, high in self._view.recent_ranges:
            some = slice(bisect_left(uids, low), bisect_right(uids, high))
            texts[some] = [b"\\Recent " + text if text else b"\\Recent" for text in texts[some]]
        return texts


@dataclass
class Batch:
    """Messages that are answered together.

    Attributes:
        answers: what the index has ready, by message id, in the order of `index.RENDERED` names asked for.
        headers: top-level header blocks, by message id.
        utf8: whether the client takes UTF-8 in quoted strings.
    """

    values: Values
    flags: Flags
    answers: Mapping[int, tuple[bytes | None, ...]] = field(default_factory=dict)
    headers: Mapping[int, bytes] = field(default_factory=dict)
    utf8: bool = False

    @cached_property
    def ready(self) -> list[tuple[bytes | None, ...]]:
        """`answers` by message."""
        return [self.answers[message] for message in self.values[4]]


@dataclass(frozen=True, slots=True)
class Column:
    """How an item is written, and its value for each row; None where the message itself must be asked."""

    template: bytes
    values: Callable[[Batch], Sequence[object]]

    def texts(self, batch: Batch) -> list[bytes | None]:
        """Each written by itself."""
        template = self.template
        return [None if value is None else template % value for value in self.values(batch)]


UID = Column(b"UID %d", lambda batch: batch.values[0])
FLAGS = Column(b"FLAGS (%b)", lambda batch: batch.flags.of(*batch.values[:2]))
MODSEQ = Column(b"MODSEQ (%d)", lambda batch: batch.values[2])

OF_ENTRIES = {b"UID": UID, b"FLAGS": FLAGS, b"MODSEQ": MODSEQ}
OF_ROWS = {
    **OF_ENTRIES,
    b"RFC822.SIZE": Column(b"RFC822.SIZE %d", lambda batch: batch.values[5]),
    b"INTERNALDATE": Column(b"INTERNALDATE %b", lambda batch: list(map(writer.date_time, *batch.values[6:8]))),
    b"SAVEDATE": Column(b"SAVEDATE %b", lambda batch: [writer.date_time(saved, 0) for saved in batch.values[3]]),
    b"EMAILID": Column(b"EMAILID (%b)", lambda batch: list(map(email_id, batch.values[8]))),
    b"THREADID": Column(b"THREADID %b", lambda batch: list(map(thread_id, batch.values[9]))),
}
OF_INDEX = {b"ENVELOPE": "envelope", b"BODY": "body", b"BODYSTRUCTURE": "structure", b"PREVIEW": "preview"}
"""Items by their names in `index.RENDERED`."""


def email_id(octets: bytes) -> bytes:
    """EMAILID (RFC 8474 section 5.1)."""
    return b"M" + octets.hex().encode("ascii")


def thread_id(octets: bytes | None) -> bytes:
    """THREADID (RFC 8474 section 5.2); NIL where it was not kept when the message was filed."""
    return b"NIL" if octets is None else b"(T%b)" % octets.hex().encode("ascii")


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
    shown: list[Sequence[object]] = [numbers, *[column.values(batch) for column in columns]]
    if 0 in numbers:
        shown = [list(compress(values, numbers)) for values in shown]
    count, width = len(shown[0]), len(shown)
    values: list[object] = [None] * (count * width)
    for at, column in enumerate(shown):
        values[at::width] = column  # quicker than rows in a chain, by a quarter of it all
    return template * count % tuple(values)
