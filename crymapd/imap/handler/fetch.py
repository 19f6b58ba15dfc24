"""FETCH (RFC 9051 section 6.4.5): items are written a column at a time, for many messages together.

Flags, sizes and dates come from rows. ENVELOPE, BODYSTRUCTURE and top-level header fields come from the index, where
they are prepared. Only for other items is the message opened.
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
    header_maker,
    needs_only_header,
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
from crymapd.store.rows import StoredColumns, stored_columns, stored_rows
from crymapd.store.view import View


def handle_fetch(session: Session, asked: Fetch) -> Done:
    view = session.view
    if asked.vanished and not session.qresync:
        raise Refusal("BAD", "VANISHED needs ENABLE QRESYNC first", "CLIENTBUG")
    items: list[Item] = list(asked.items)
    if (asked.uid or session.qresync) and b"UID" not in items:
        items.insert(0, b"UID")
    if asked.changed_since is not None and b"MODSEQ" not in items:
        items.append(b"MODSEQ")
    if b"MODSEQ" in items:
        session.enable_condstore()
    ranges = session.uid_ranges(asked.sequence_set, uid=asked.uid)
    if asked.vanished and asked.changed_since is not None:
        _vanished(session, view, ranges, asked.changed_since)
    if asked.partial is not None:
        uids = view.known(ranges)
        ranges = ranges_of(uids[span(len(uids), asked.partial)])
    seen_modseq = _mark_seen(session, view, items, ranges, asked.changed_since)
    if seen_modseq:
        # RFC 9051 section 6.4.5: the answer tells the new flags; RFC 7162 section 3.2: and the new modseq.
        flag_items = (b"FLAGS", b"MODSEQ") if session.condstore else (b"FLAGS",)
        items += [item for item in flag_items if item not in items]
    if b"FLAGS" in items:
        update.keywords(session)  # before any answer shows a keyword that FLAGS has not told
    if all(item in columns.ENTRY_ITEMS for item in items):
        _from_entries(session, view, ranges, items, asked.changed_since)
        return ok()
    failure = _Responses(session, view, items).send(ranges, asked.changed_since)
    if failure is not None:
        session.own_modseqs.discard(seen_modseq)  # some messages were not answered, so all must be told of the change
    return failure or ok()


def _vanished(session: Session, view: View, ranges: list[Range[Uid]], since: int) -> None:
    """Tell which UIDs were expunged after a modseq (RFC 7162 section 3.2.6).

    UIDs that the session still counts are left out: another VANISHED will tell them when it may.
    """
    expunged = difference(view.vanished(since, ranges), ranges_of(view.known(ranges)))
    if expunged:
        session.line(b"VANISHED (EARLIER) ", format_ranges(expunged).encode())


def _mark_seen(session: Session, view: View, items: list[Item], ranges: list[Range[Uid]], since: int | None) -> ModSeq:
    """Set \\Seen on all messages that will be answered, if an item reads their bodies without PEEK.

    Returns:
        The modseq of that change, or 0 if nothing was changed.
    """
    if view.read_only or not any(not isinstance(item, bytes) and not item.peek for item in items):
        return ModSeq(0)
    modseq = view.mark_seen(ranges, since)
    if modseq:
        session.own_modseqs.add(modseq)
    return modseq


# Items that entries alone can answer


def _from_entries(session: Session, view: View, ranges: list[Range[Uid]], items: list[Item], since: int | None) -> None:
    item_columns = [columns.ENTRY_ITEMS[item] for item in items if isinstance(item, bytes)]
    flags = FlagTexts(session, view)
    for page in view.entry_pages(ranges, since or 0, modseqs=columns.MODSEQ in item_columns):
        session.send(columns.fetch_lines(view.numbers(page.uids), item_columns, EntryBatch(page, flags)))


# All other items


def _index_name(item: Item) -> str | None:
    """Return the name of an item's prepared answer in the index, or None if it has none."""
    if isinstance(item, bytes):
        return columns.INDEX_ITEMS.get(item)
    if not isinstance(item, SectionItem) or not needs_only_header(item):
        return None
    if item.section.what == FIELDS and item.partial is None:
        return "fields" if set(item.section.names) == COMMON_FIELDS else None
    return None


Maker = Callable[[Reading], "bytes | Large"]
"""Makes an item of a response from the message itself."""


class _Responses:
    """The responses to one FETCH: each item comes from a column or, if that has no value, is made from the message."""

    def __init__(self, session: Session, view: View, items: Sequence[Item]) -> None:
        self._session = session
        self._view = view
        self._flags = FlagTexts(session, view)
        self._names = list(dict.fromkeys(name for name in map(_index_name, items) if name is not None))
        self._columns = [self._column(item) for item in items]
        self._makers = [_maker(item) for item in items]
        self._wants_header = any(
            isinstance(item, SectionItem) and needs_only_header(item) and not _index_name(item) for item in items
        )
        self._opens = None in self._columns
        self._failure: Done | None = None

    def _column(self, item: Item) -> Column[StoredBatch] | None:
        """Make the column of an item; returns None if every message must be opened for it."""
        name = _index_name(item)
        if isinstance(item, bytes):
            return columns.ROW_ITEMS[item] if name is None else columns.index_column(item, self._names.index(name))
        if isinstance(item, BinaryItem) or not needs_only_header(item):
            return None
        if name is None:
            make = header_maker(item)
            return Column(b"%b", lambda batch: [make(batch.headers[message]) for message in batch.rows.messages])
        at, template = self._names.index(name), item.label.replace(b"%", b"%%") + b" {%d}\r\n%b"
        return Column(
            b"%b",
            lambda batch: [
                None if (fields := prepared[at]) is None else template % (len(fields), fields)
                for prepared in batch.prepared
            ],
        )

    def send(self, ranges: list[Range[Uid]], since: int | None) -> Done | None:
        """Send the responses for these messages, or for those among them that have changed after a modseq.

        Returns:
            The NO with which the command ends if some messages could not be answered.
        """
        for rows in self._view.rows(ranges):
            if since is not None:
                rows = stored_columns([row for row in stored_rows(rows) if row.modseq > since])
            self._send_batch(self._batch(rows))
        return self._failure

    def _batch(self, rows: StoredColumns) -> StoredBatch:
        """Collect what the index has about these messages; messages that are gone are left out."""
        store, messages = self._session.store, rows.messages
        batch = StoredBatch(rows, self._flags, utf8=self._session.unicode)
        if self._names:
            batch.answers = store.answers(messages, self._names, utf8=batch.utf8)
        if self._wants_header:
            batch.headers = store.headers(messages)
        for values in (batch.answers if self._names else None, batch.headers if self._wants_header else None):
            if values is not None and len(values) < len(set(messages)):
                batch.rows = stored_columns([row for row in stored_rows(batch.rows) if row.message in values])
                self._failure = _unavailable()
        return batch

    def _send_batch(self, batch: StoredBatch) -> None:
        item_columns = [column for column in self._columns if column is not None]
        numbers = self._view.numbers(batch.rows.uids)
        if not self._opens:
            try:
                self._session.send(columns.fetch_lines(numbers, item_columns, batch))
                return
            except TypeError:
                pass  # some value is None, which is rare: to look for it each time would take longer
        self._send_each(batch, numbers)

    def _send_each(self, batch: StoredBatch, numbers: Sequence[SeqNum]) -> None:
        """Send the responses one by one, and open each message for which some item is not ready."""
        store = self._session.store
        sealed_files = store.sealed_files(batch.rows.messages) if self._opens else {}
        rows = stored_rows(batch.rows)
        lines = bytearray()
        for number, row, texts in zip(numbers, rows, self._texts(batch), strict=True):
            reading = Reading(store, row, batch.headers.get(row.message), sealed_files.get(row.message))
            try:
                pieces = self._parts(reading, texts)
                if number:
                    self._write(number, pieces, lines)
            except (MessageGone, MessageUnavailable):
                self._failure = _unavailable()
            except UnknownEncoding as error:
                self._failure = Done("NO", str(error), "UNKNOWN-CTE")  # RFC 9051 section 6.4.5
            finally:
                reading.close()
            if len(lines) > LARGE:
                self._send(lines)
        self._send(lines)

    def _texts(self, batch: StoredBatch) -> Iterable[Sequence[bytes | None]]:
        """Write the items of each message, with None in the place of those that must be made from the message."""
        count = len(batch.rows.uids)
        return zip(*[column.texts(batch) if column else [None] * count for column in self._columns], strict=True)

    def _parts(self, reading: Reading, texts: Sequence[bytes | None]) -> list[bytes | Large]:
        """Complete the items of one message, and open it for those that are not ready."""
        if self._opens and reading.message.size != reading.row.size:  # damage shows only now, and the size is another
            batch = self._batch(stored_columns([reading.row._replace(size=reading.message.size)]))
            if not batch.rows.uids:
                raise MessageGone("the message was purged")
            (texts,) = self._texts(batch)
        return [maker(reading) if text is None else text for text, maker in zip(texts, self._makers, strict=True)]

    def _write(self, number: SeqNum, pieces: Sequence[bytes | Large], lines: bytearray) -> None:
        """Add one FETCH response to `lines`; if it has a large literal, `lines` are sent first, then the literal."""
        lines += b"* %d FETCH (" % number
        for at, piece in enumerate(pieces):
            if at:
                lines += b" "
            if isinstance(piece, bytes):
                lines += piece
                continue
            self._send(lines)
            stream(self._session, piece)
        lines += b")\r\n"

    def _send(self, lines: bytearray) -> None:
        self._session.send(bytes(lines))
        lines.clear()


def _maker(item: Item) -> Maker:
    """Return the function that makes an item from the message itself."""
    if isinstance(item, bytes):
        return lambda _reading: item + b" NIL"  # never called: such an item always has a value
    if isinstance(item, BinaryItem):
        return lambda reading: binary(reading, item)
    if item.section == WHOLE_MESSAGE and item.partial is None:
        return lambda reading: whole(reading, item.label)
    return lambda reading: section(reading, item)


def _unavailable() -> Done:
    return Done("NO", "some messages are gone or cannot be read now", "UNAVAILABLE")
