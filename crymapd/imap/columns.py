"""FETCH answers, a column of values for each item: one formatting makes the lines of many messages.

What rows and the index hold lies ready for the wire; nothing here opens a message.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from typing import Generic, TypeVar

from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.model.numbers import FlagSetId, MessageId, SeqNum, Uid
from crymapd.store.rows import EntryColumns, StoredColumns
from crymapd.store.view import View

Answer = tuple["bytes | None", ...]


class FlagTexts:
    """Flag sets as they go over the wire, each put together once."""

    def __init__(self, session: Session, view: View) -> None:
        self._flags_of = session.store.flags_of
        self._view = view
        self._known: dict[FlagSetId, bytes] = {}

    def of(self, uids: Sequence[Uid], flagsets: Sequence[FlagSetId]) -> list[bytes]:
        """The flags of messages, ascending by UID; with \\Recent where this session has it."""
        known = self._known
        for flagset in set(flagsets).difference(known):
            known[flagset] = self._flags_of(flagset).encode("ascii")
        texts = list(map(known.__getitem__, flagsets))
        for low, high in self._view.recent_ranges:
            some = slice(bisect_left(uids, low), bisect_right(uids, high))
            texts[some] = [b"\\Recent " + text if text else b"\\Recent" for text in texts[some]]
        return texts


@dataclass
class EntryBatch:
    """Messages that are answered together by what their entries say."""

    rows: EntryColumns | StoredColumns
    flags: FlagTexts


@dataclass
class StoredBatch(EntryBatch):
    """Messages that are answered together.

    Attributes:
        rows: their full rows.
        answers: what the index has ready, by message id, in the order of the names that were asked for.
        headers: top-level header blocks, by message id.
        utf8: whether the client takes UTF-8 in quoted strings.
    """

    rows: StoredColumns
    answers: Mapping[MessageId, Answer] = field(default_factory=dict)
    headers: Mapping[MessageId, bytes] = field(default_factory=dict)
    utf8: bool = False

    @cached_property
    def ready(self) -> list[Answer]:
        """`answers` of each message, in the order of the rows."""
        return list(map(self.answers.__getitem__, self.rows.messages))


B = TypeVar("B", bound=EntryBatch, contravariant=True)


@dataclass(frozen=True, slots=True)
class Column(Generic[B]):
    """How an item is written, and its value for each row; None where the message itself must be asked."""

    template: bytes
    values: Callable[[B], Sequence[object]]

    def texts(self, batch: B) -> list[bytes | None]:
        """The item of each row, written by itself."""
        template = self.template
        return [None if value is None else template % value for value in self.values(batch)]


UID: Column[EntryBatch] = Column(b"UID %d", lambda batch: batch.rows.uids)
FLAGS: Column[EntryBatch] = Column(b"FLAGS (%b)", lambda batch: batch.flags.of(batch.rows.uids, batch.rows.flagsets))
MODSEQ: Column[EntryBatch] = Column(b"MODSEQ (%d)", lambda batch: batch.rows.modseqs)

OF_ENTRIES = {b"UID": UID, b"FLAGS": FLAGS, b"MODSEQ": MODSEQ}
OF_ROWS: dict[bytes, Column[StoredBatch]] = {
    **OF_ENTRIES,
    b"RFC822.SIZE": Column(b"RFC822.SIZE %d", lambda batch: batch.rows.sizes),
    b"INTERNALDATE": Column(
        b"INTERNALDATE %b", lambda batch: list(map(writer.date_time, batch.rows.received, batch.rows.zones))
    ),
    b"SAVEDATE": Column(b"SAVEDATE %b", lambda batch: [writer.date_time(saved, 0) for saved in batch.rows.saved]),
    b"EMAILID": Column(b"EMAILID (%b)", lambda batch: list(map(email_id, batch.rows.email_ids))),
    b"THREADID": Column(b"THREADID %b", lambda batch: list(map(thread_id, batch.rows.threads))),
}
OF_INDEX = {b"ENVELOPE": "envelope", b"BODY": "body", b"BODYSTRUCTURE": "structure", b"PREVIEW": "preview"}
"""Items by the names that their answers have in the index."""


def email_id(octets: bytes) -> bytes:
    """EMAILID (RFC 8474 section 5.1)."""
    return b"M" + octets.hex().encode("ascii")


def thread_id(octets: bytes | None) -> bytes:
    """THREADID (RFC 8474 section 5.2); NIL where it was not kept when the message was filed."""
    return b"NIL" if octets is None else b"(T%b)" % octets.hex().encode("ascii")


def of_index(item: bytes, at: int) -> Column[StoredBatch]:
    """The column of an item of OF_INDEX that is the `at`-th of the answers asked for."""
    template = item + b" %b"
    if item == b"PREVIEW":
        return Column(
            template, lambda batch: [writer.string(ready[at] or b"", utf8=batch.utf8) for ready in batch.ready]
        )
    return Column(template, lambda batch: [ready[at] or b"NIL" for ready in batch.ready])


def written(numbers: Sequence[SeqNum], columns: Sequence[Column[B]], batch: B) -> bytes:
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
