"""FETCH (RFC 9051 section 6.4.5): rows become octets a column at a time, with no object for an attribute.

Flags, sizes and dates come from the rows; ENVELOPE, BODYSTRUCTURE and top-level header fields from
the index, where they lie ready for the wire; only the rest opens the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from crymapd.errors import MessageGone, MessageUnavailable
from crymapd.imap import columns, update
from crymapd.imap.columns import Batch, Column, Flags, Values, values_of
from crymapd.imap.command.fetch import BinaryItem, Fetch, Item, SectionItem
from crymapd.imap.handler.reading import Reading, portions
from crymapd.imap.handler.search import cut
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
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.mime.sections import FIELDS
from crymapd.mime.summary import COMMON_FIELDS
from crymapd.model.flags import SEEN, StoreMode
from crymapd.model.sequence import Range, difference, format_ranges, ranges_of
from crymapd.store.lookup import Lookup, Stored
from crymapd.store.store import Store
from crymapd.store.view import View

_BATCH = 100


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
    ranges = session.uid_ranges(asked.numbers, uid=asked.uid)
    if asked.vanished and asked.changed_since is not None:
        _vanished(session, view, ranges, asked.changed_since)
    if asked.partial is not None:
        ranges = ranges_of(cut(view.known(ranges), asked.partial))
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


def _vanished(session: Session, view: View, ranges: list[Range], since: int) -> None:
    """RFC 7162 section 3.2.6; what the client still counts is left for its proper VANISHED."""
    now = session.store.mailboxes.by_id(view.mailbox.id)
    if now is None:
        return
    gone = difference(session.store.entries.vanished(now, since, ranges), ranges_of(view.known(ranges)))
    if gone:
        session.line(b"VANISHED (EARLIER) ", format_ranges(gone).encode())


def _mark_seen(session: Session, view: View, items: list[Item], ranges: list[Range], since: int | None) -> int:
    """Reading a body without PEEK sets \\Seen, in one step for all messages that will be answered.

    Returns:
        The modseq of that change; 0 where there was none.
    """
    if view.read_only or not any(not isinstance(item, bytes) and not item.peek for item in items):
        return 0
    entries, mailbox, flags_of = session.store.entries, view.mailbox.id, session.store.meta.flags_of
    rows = entries.flags(mailbox, ranges_of(view.known(ranges)))
    fresh = ((uid, modseq) for uid, flagset, modseq in rows if SEEN not in flags_of(flagset).split())
    read = ranges_of(uid for uid, modseq in fresh if since is None or modseq > since)
    if not read:
        return 0  # reading again writes nothing
    result = entries.store(mailbox, read, StoreMode.ADD, frozenset((SEEN,)))
    if result.modseq:
        session.own_modseqs.add(result.modseq)
    return result.modseq or 0


# Flags alone: the entries have everything


def _from_entries(session: Session, view: View, ranges: list[Range], items: list[Item], since: int | None) -> None:
    shown = [columns.OF_ENTRIES[item] for item in items if isinstance(item, bytes)]
    flags = Flags(session, view)
    entries, mailbox = session.store.entries, view.mailbox.id
    pages = entries.flag_pages(mailbox, ranges, since or 0, modseqs=columns.MODSEQ in shown)
    for page in chain(pages, _expunged(entries, view, ranges, since or 0)):
        session.send(columns.written(view.numbers(page[0]), shown, Batch(page, flags)))


def _expunged(entries: Lookup, view: View, ranges: list[Range], since: int) -> Iterator[Values]:
    """The same of messages that went away elsewhere and that this session still counts; most often none."""
    mailbox, known = view.mailbox.id, view.known(ranges)
    if not known or sum(entries.count(mailbox, low, min(high, known[-1])) for low, high in ranges) >= len(known):
        return
    present = {uid for uid, _flagset, _modseq in entries.flags(mailbox, ranges)}
    gone = (entries.expunged(mailbox, uid) for uid in known if uid not in present)
    yield values_of([row[:3] for row in gone if row is not None and row[2] > since])


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
        self._flags = Flags(session, view)
        self._names = list(dict.fromkeys(name for name in map(_ready, items) if name is not None))
        self._columns = [self._column(item) for item in items]
        self._makers = [_maker(item) for item in items]
        self._wants_header = any(
            isinstance(item, SectionItem) and of_header(item) and not _ready(item) for item in items
        )
        self._opens = None in self._columns
        self._failed: Done | None = None

    def _column(self, item: Item) -> Column | None:
        name = _ready(item)
        if isinstance(item, bytes):
            return columns.OF_ROWS[item] if name is None else columns.of_index(item, self._names.index(name))
        if isinstance(item, BinaryItem) or not of_header(item):
            return None
        if name is None:
            make = from_header(item)
            return Column(b"%b", lambda batch: [make(batch.headers[message]) for message in batch.values[4]])
        at, announced = self._names.index(name), item.label.replace(b"%", b"%%") + b" {%d}\r\n%b"
        return Column(
            b"%b",
            lambda batch: [
                None if (found := ready[at]) is None else announced % (len(found), found) for ready in batch.ready
            ],
        )

    def tell(self, ranges: list[Range], since: int | None) -> Done | None:
        """The NO for those that could not be answered."""
        for rows in _batches(self._session.store, self._view, ranges):
            self._tell(self._batch([row for row in rows if since is None or row[2] > since]))
        return self._failed

    def _batch(self, rows: Sequence[Stored]) -> Batch:
        """What is ready of these messages; those that are gone are left out."""
        store, ids = self._session.store, [row[4] for row in rows]
        batch = Batch(values_of(rows), self._flags, utf8=self._session.unicode)
        if self._names:
            batch.answers = store.rendered(ids, self._names, utf8=batch.utf8)
        if self._wants_header:
            batch.headers = store.headers(ids)
        for known in (batch.answers if self._names else None, batch.headers if self._wants_header else None):
            if known is not None and len(known) < len(set(ids)):
                batch.values = values_of([row for row in zip(*batch.values, strict=True) if row[4] in known])
                self._failed = _unavailable()
        return batch

    def _tell(self, batch: Batch) -> None:
        shown = [column for column in self._columns if column is not None]
        numbers = self._view.numbers(batch.values[0])
        if not self._opens:
            try:
                self._session.send(columns.written(numbers, shown, batch))
                return
            except TypeError:
                pass  # rarely something is not ready; to ask each beforehand would take longer
        files = self._session.store.entries.sealed_files(batch.values[4]) if self._opens else {}
        lines = bytearray()
        for number, row, texts in zip(numbers, zip(*batch.values, strict=True), self._texts(batch), strict=True):
            reading = Reading(self._session.store, row, batch.headers.get(row[4]), files.get(row[4]))
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

    def _texts(self, batch: Batch) -> Iterable[Sequence[bytes | None]]:
        """For each message its items as far as they lie ready."""
        count = len(batch.values[0])
        return zip(*[column.texts(batch) if column else [None] * count for column in self._columns], strict=True)

    def _parts(self, reading: Reading, texts: Sequence[bytes | None]) -> list[bytes | Large]:
        if self._opens and reading.message.size != reading.row[5]:  # damage shows now, and has changed the size
            row = (*reading.row[:5], reading.message.size, *reading.row[6:])
            batch = self._batch([row])
            if not batch.values[0]:
                raise MessageGone("the message was purged")
            (texts,) = self._texts(batch)
        return [maker(reading) if text is None else text for text, maker in zip(texts, self._makers, strict=True)]

    def _answer(self, number: int, parts: Sequence[bytes | Large], lines: bytearray) -> None:
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


def _batches(store: Store, view: View, ranges: list[Range]) -> Iterator[list[Stored]]:
    """Rows of the messages this session counts, including expunged ones it has not been told of.

    Each batch is read before any of it is sent: a slow client must not hold a read transaction.
    """
    entries, mailbox = store.entries, view.mailbox.id
    known = view.known(ranges)
    for at in range(0, len(known), _BATCH):
        uids = known[at : at + _BATCH]
        rows = list(entries.stored(mailbox, ranges_of(uids)))
        if len(rows) < len(uids):
            found = {row[0]: row for row in rows}
            every = (found.get(uid) or entries.expunged(mailbox, uid) for uid in uids)
            rows = [row for row in every if row is not None]
        yield from portions(rows)
