"""FETCH (RFC 9051 section 6.4.5): rows become octets a column at a time, with no object for an attribute.

Flags, sizes and dates come from the rows; ENVELOPE, BODYSTRUCTURE and top-level header fields from
the index, where they lie ready for the wire; only the rest opens the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from crymapd.errors import MessageGone, MessageUnavailable
from crymapd.imap import columns, update
from crymapd.imap.columns import Column, EntryBatch, FlagTexts, StoredBatch
from crymapd.imap.command.fetch import BinaryItem, Fetch, Item, SectionItem
from crymapd.imap.handler.matching import span
from crymapd.imap.handler.reading import Reading
from crymapd.imap.handler.section import (
    LARGE,
    WHOLE_MESSAGE,
    Large,
    UnknownEncoding,
    binary,
    from_header,
    of_header,
    section,
    stream,
    whole,
)
from crymapd.imap.prepared import COMMON_FIELDS
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.wire.section import FIELDS
from crymapd.model.numbers import ModSeq, SeqNum, Uid
from crymapd.model.sequence import Range, difference, format_ranges, ranges_of
from crymapd.store.rows import Stored, stored_columns
from crymapd.store.view import View


def handle_fetch(session: Session, asked: Fetch) -> Done:
    view = session.view
    if asked.vanished and not session.qresync:
        raise Refusal("BAD", "VANISHED expects ENABLE QRESYNC before", "CLIENTBUG")
    items: list[Item] = list(asked.items)
    if (asked.uid or session.qresync) and b"UID" not in items:
        items.insert(0, b"UID")
    if asked.changed_since is not None and b"MODSEQ" not in items:
        items.append(b"MODSEQ")
    if b"MODSEQ" in items:
        session.enable_condstore()
    if b"FLAGS" in items:
        update.keywords(session)
    ranges = session.uid_ranges(asked.sequence_set, uid=asked.uid)
    if asked.vanished and asked.changed_since is not None:
        _vanished(session, view, ranges, asked.changed_since)
    if asked.partial is not None:
        known = view.known(ranges)
        ranges = ranges_of(known[span(len(known), asked.partial)])
    seen = _mark_seen(session, view, items, ranges, asked.changed_since)
    if seen:
        # RFC 9051 section 6.4.5: a change of flags is part of the answer; RFC 7162 section 3.2: and its modseq.
        changed = (b"FLAGS", b"MODSEQ") if session.condstore else (b"FLAGS",)
        items += [item for item in changed if item not in items]
    if all(item in columns.OF_ENTRIES for item in items):
        _from_entries(session, view, ranges, items, asked.changed_since)
        return ok()
    failed = _Answers(session, view, items).tell(ranges, asked.changed_since)
    if failed is not None:
        session.own_modseqs.discard(seen)  # not all were answered: told anew
    return failed or ok()


def _vanished(session: Session, view: View, ranges: list[Range[Uid]], since: int) -> None:
    """RFC 7162 section 3.2.6; what the client still counts is left for its proper VANISHED."""
    gone = difference(view.vanished(since, ranges), ranges_of(view.known(ranges)))
    if gone:
        session.line(b"VANISHED (EARLIER) ", format_ranges(gone).encode())


def _mark_seen(session: Session, view: View, items: list[Item], ranges: list[Range[Uid]], since: int | None) -> ModSeq:
    """Reading a body without PEEK sets \\Seen, in one step for all messages that will be answered.

    Returns:
        The modseq of that change; 0 where there was none.
    """
    if view.read_only or not any(not isinstance(item, bytes) and not item.peek for item in items):
        return ModSeq(0)
    modseq = view.mark_seen(ranges, since)
    if modseq:
        session.own_modseqs.add(modseq)
    return modseq


# Flags alone: the entries have everything


def _from_entries(session: Session, view: View, ranges: list[Range[Uid]], items: list[Item], since: int | None) -> None:
    shown = [columns.OF_ENTRIES[item] for item in items if isinstance(item, bytes)]
    flags = FlagTexts(session, view)
    for page in view.entry_pages(ranges, since or 0, modseqs=columns.MODSEQ in shown):
        session.send(columns.written(view.numbers(page.uids), shown, EntryBatch(page, flags)))


# Everything else


def _ready(item: Item) -> str | None:
    """By which name an item lies ready in the index, if it does."""
    if isinstance(item, bytes):
        return columns.OF_INDEX.get(item)
    if isinstance(item, SectionItem) and of_header(item) and item.section.what == FIELDS and item.partial is None:
        return "fields" if set(item.section.names) == COMMON_FIELDS else None
    return None


Maker = Callable[[Reading], "bytes | Large"]


class _Answers:
    """The answers to one FETCH: a column for each item that lies ready, for the others what reads the message."""

    def __init__(self, session: Session, view: View, items: Sequence[Item]) -> None:
        self._session = session
        self._view = view
        self._flags = FlagTexts(session, view)
        self._names = list(dict.fromkeys(name for name in map(_ready, items) if name is not None))
        self._columns = [self._column(item) for item in items]
        self._makers = [_maker(item) for item in items]
        self._wants_header = any(
            isinstance(item, SectionItem) and of_header(item) and not _ready(item) for item in items
        )
        self._opens = None in self._columns
        self._failed: Done | None = None

    def _column(self, item: Item) -> Column[StoredBatch] | None:
        name = _ready(item)
        if isinstance(item, bytes):
            return columns.OF_ROWS[item] if name is None else columns.of_index(item, self._names.index(name))
        if isinstance(item, BinaryItem) or not of_header(item):
            return None
        if name is None:
            make = from_header(item)
            return Column(b"%b", lambda batch: [make(batch.headers[message]) for message in batch.rows.messages])
        at, announced = self._names.index(name), item.label.replace(b"%", b"%%") + b" {%d}\r\n%b"
        return Column(
            b"%b",
            lambda batch: [
                None if (found := ready[at]) is None else announced % (len(found), found) for ready in batch.ready
            ],
        )

    def tell(self, ranges: list[Range[Uid]], since: int | None) -> Done | None:
        """Answer for all messages changed after a modseq; return the NO if some could not be answered."""
        for rows in self._view.rows(ranges):
            self._tell(self._batch([row for row in rows if since is None or row.modseq > since]))
        return self._failed

    def _batch(self, rows: Sequence[Stored]) -> StoredBatch:
        """What is ready of these messages; those that are gone are left out."""
        store, messages = self._session.store, [row.message for row in rows]
        batch = StoredBatch(stored_columns(rows), self._flags, utf8=self._session.unicode)
        if self._names:
            batch.answers = store.answers(messages, self._names, utf8=batch.utf8)
        if self._wants_header:
            batch.headers = store.headers(messages)
        for known in (batch.answers if self._names else None, batch.headers if self._wants_header else None):
            if known is not None and len(known) < len(set(messages)):
                rows = [row for row in rows if row.message in known]
                batch.rows = stored_columns(rows)
                self._failed = _unavailable()
        return batch

    def _tell(self, batch: StoredBatch) -> None:
        shown = [column for column in self._columns if column is not None]
        numbers = self._view.numbers(batch.rows.uids)
        if not self._opens:
            try:
                self._session.send(columns.written(numbers, shown, batch))
                return
            except TypeError:
                pass  # rarely something is not ready; to ask each beforehand would take longer
        self._tell_each(batch, numbers)

    def _tell_each(self, batch: StoredBatch, numbers: Sequence[SeqNum]) -> None:
        """One message after the other, opening those of which something is not ready."""
        store = self._session.store
        sealed_files = store.sealed_files(batch.rows.messages) if self._opens else {}
        rows = map(Stored._make, zip(*batch.rows, strict=True))
        lines = bytearray()
        for number, row, texts in zip(numbers, rows, self._texts(batch), strict=True):
            reading = Reading(store, row, batch.headers.get(row.message), sealed_files.get(row.message))
            try:
                parts = self._parts(reading, texts)
                if number:
                    self._answer(number, parts, lines)
            except (MessageGone, MessageUnavailable):
                self._failed = _unavailable()
            except UnknownEncoding as error:
                self._failed = Done("NO", str(error), "UNKNOWN-CTE")  # RFC 9051 section 6.4.5
            finally:
                reading.close()
            if len(lines) > LARGE:
                self._send(lines)
        self._send(lines)

    def _texts(self, batch: StoredBatch) -> Iterable[Sequence[bytes | None]]:
        """For each message its items as far as they lie ready."""
        count = len(batch.rows.uids)
        return zip(*[column.texts(batch) if column else [None] * count for column in self._columns], strict=True)

    def _parts(self, reading: Reading, texts: Sequence[bytes | None]) -> list[bytes | Large]:
        if self._opens and reading.message.size != reading.row.size:  # damage shows now, and has changed the size
            batch = self._batch([reading.row._replace(size=reading.message.size)])
            if not batch.rows.uids:
                raise MessageGone("the message was purged")
            (texts,) = self._texts(batch)
        return [maker(reading) if text is None else text for text, maker in zip(texts, self._makers, strict=True)]

    def _answer(self, number: SeqNum, parts: Sequence[bytes | Large], lines: bytearray) -> None:
        """One FETCH response: into `lines`, or with a literal in pieces after them."""
        lines += b"* %d FETCH (" % number
        for at, part in enumerate(parts):
            if at:
                lines += b" "
            if isinstance(part, bytes):
                lines += part
                continue
            self._send(lines)
            stream(self._session, part)
        lines += b")\r\n"

    def _send(self, lines: bytearray) -> None:
        self._session.send(bytes(lines))
        lines.clear()


def _maker(item: Item) -> Maker:
    """What makes an item's part of the answer of the message itself."""
    if isinstance(item, bytes):
        return lambda _reading: item + b" NIL"  # never asked: what is no section is always ready
    if isinstance(item, BinaryItem):
        return lambda reading: binary(reading, item)
    if item.section == WHOLE_MESSAGE and item.partial is None:
        return lambda reading: whole(reading, item.label)
    return lambda reading: section(reading, item)


def _unavailable() -> Done:
    return Done("NO", "some messages are gone or cannot be read now", "UNAVAILABLE")
