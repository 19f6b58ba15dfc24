"""FETCH (RFC 9051 section 6.4.5): rows become octets directly, with no object for an attribute.

Flags, sizes and dates come from the rows; ENVELOPE, BODYSTRUCTURE and top-level header fields from
the index, where they lie ready for the wire; only the rest opens the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from crymapd.errors import Damaged, MessageGone, MessageUnavailable
from crymapd.imap import update
from crymapd.imap.command.fetch import BinaryItem, Fetch, Item, SectionItem
from crymapd.imap.handler.matching import email_id, thread_id
from crymapd.imap.handler.reading import Reading
from crymapd.imap.handler.search import cut
from crymapd.imap.response import Broken, Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.mime.content import decode_stream, with_crlf
from crymapd.mime.header import field_selector, select_fields
from crymapd.mime.parts import MAX_HEADER
from crymapd.mime.sections import FIELDS, FIELDS_NOT, HEADER, Section, find, locate
from crymapd.mime.summary import COMMON_FIELDS
from crymapd.model.flags import SEEN, StoreMode
from crymapd.model.sequence import Range, difference, format_ranges, ranges_of
from crymapd.store.entries import Entries, Stored
from crymapd.store.store import Store
from crymapd.store.view import View

_BATCH = 100
_LINES = 500
_LARGE = 64 * 1024
_FROM_ENTRY = frozenset((b"FLAGS", b"UID", b"MODSEQ"))


class UnknownEncoding(Exception):
    """A part cannot be decoded: its transfer encoding is none we know."""


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
    if _mark_seen(session, view, items, ranges, asked.changed_since):
        # RFC 9051 section 6.4.5: a change of flags is part of the answer; RFC 7162 section 3.2: and its modseq.
        changed = (b"FLAGS", b"MODSEQ") if session.condstore else (b"FLAGS",)
        items += [item for item in changed if item not in items]
    if all(item in _FROM_ENTRY for item in items):
        _from_entries(session, view, ranges, items, asked.changed_since)
        return ok()
    return _from_messages(session, view, ranges, items, asked.changed_since) or ok()


def _vanished(session: Session, view: View, ranges: list[Range], since: int) -> None:
    """RFC 7162 section 3.2.6; what the client still counts is left for its proper VANISHED."""
    now = session.store.mailboxes.by_id(view.mailbox.id)
    if now is None:
        return
    gone = difference(session.store.entries.vanished(now, since, ranges), ranges_of(view.known(ranges)))
    if gone:
        session.line(b"VANISHED (EARLIER) ", format_ranges(gone).encode())


def _mark_seen(session: Session, view: View, items: list[Item], ranges: list[Range], since: int | None) -> bool:
    """Reading a body without PEEK sets \\Seen, in one step for all messages that will be answered."""
    if view.read_only or not any(not isinstance(item, bytes) and not item.peek for item in items):
        return False
    entries, mailbox, flags_of = session.store.entries, view.mailbox.id, session.store.meta.flags_of
    rows = entries.flags(mailbox, ranges_of(view.known(ranges)))
    fresh = ((uid, modseq) for uid, flagset, modseq in rows if SEEN not in flags_of(flagset).split())
    read = ranges_of(uid for uid, modseq in fresh if since is None or modseq > since)
    if not read:
        return False  # reading again writes nothing
    result = entries.store(mailbox, read, StoreMode.ADD, frozenset((SEEN,)))
    if result.modseq:
        session.own_modseqs.add(result.modseq)
    return bool(result.changed)


# Flags alone: the entries have everything


def _from_entries(session: Session, view: View, ranges: list[Range], items: list[Item], since: int | None) -> None:
    """One formatting a message, one write for many."""
    wire = _FlagWire(session, view)
    shown = {b"UID": b"UID %(uid)d", b"MODSEQ": b"MODSEQ (%(modseq)d)", b"FLAGS": b"FLAGS (%(flags)b)"}
    template = b"* %(number)d FETCH (" + b" ".join(shown[item] for item in items if isinstance(item, bytes)) + b")\r\n"
    line = _LINES_OF_FLAGS.get(tuple(items)) or (
        lambda number, uid, flags, modseq: (
            template % {b"number": number, b"uid": uid, b"flags": flags, b"modseq": modseq}
        )
    )
    entries, mailbox = session.store.entries, view.mailbox.id
    for rows in chain(entries.flag_pages(mailbox, ranges), (list(_expunged(entries, view, ranges)),)):
        if since is not None:
            rows = [row for row in rows if row[2] > since]
        numbers = view.numbers([row[0] for row in rows])
        flags = wire.of(rows)
        session.send(
            b"".join(
                [
                    line(number, uid, text, modseq)
                    for number, (uid, _flagset, modseq), text in zip(numbers, rows, flags, strict=True)
                    if number
                ]
            )
        )


# What clients ask for most, without a dictionary a message.
_LINES_OF_FLAGS: dict[tuple[Item, ...], Callable[[int, int, bytes, int], bytes]] = {
    (b"UID", b"FLAGS"): lambda number, uid, flags, _m: b"* %d FETCH (UID %d FLAGS (%b))\r\n" % (number, uid, flags),
    (b"UID", b"FLAGS", b"MODSEQ"): lambda number, uid, flags, modseq: (
        b"* %d FETCH (UID %d FLAGS (%b) MODSEQ (%d))\r\n" % (number, uid, flags, modseq)
    ),
    (b"FLAGS",): lambda number, _uid, flags, _m: b"* %d FETCH (FLAGS (%b))\r\n" % (number, flags),
    (b"UID",): lambda number, uid, _flags, _m: b"* %d FETCH (UID %d)\r\n" % (number, uid),
}


def _expunged(entries: Entries, view: View, ranges: list[Range]) -> Iterator[tuple[int, int, int]]:
    """Rows of messages that went away elsewhere and that this session still counts; most often none."""
    mailbox, known = view.mailbox.id, view.known(ranges)
    if not known or sum(entries.count(mailbox, low, min(high, known[-1])) for low, high in ranges) >= len(known):
        return
    present = {uid for uid, _flagset, _modseq in entries.flags(mailbox, ranges)}
    for uid in known:
        row = None if uid in present else entries.expunged(mailbox, uid)
        if row is not None:
            yield row[:3]


class _FlagWire:
    """Flag sets as they go over the wire, each put together once."""

    def __init__(self, session: Session, view: View) -> None:
        self._meta = session.store.meta
        self._is_recent = view.is_recent if view.recent else None
        self._known: dict[int, bytes] = {}

    def of(self, rows: Sequence[tuple[int, ...]]) -> list[bytes]:
        """For rows that begin with UID and flag set."""
        if self._is_recent is not None:
            return [self.flags(row[0], row[1]) for row in rows]
        for flagset in {row[1] for row in rows}.difference(self._known):
            self._known[flagset] = self._meta.flags_of(flagset).encode("ascii")
        return [self._known[row[1]] for row in rows]

    def flags(self, uid: int, flagset: int) -> bytes:
        text = self._known.get(flagset)
        if text is None:
            text = self._known[flagset] = self._meta.flags_of(flagset).encode("ascii")
        if self._is_recent is not None and self._is_recent(uid):
            return b"\\Recent " + text if text else b"\\Recent"
        return text


# Everything else


_PREPARED = {b"ENVELOPE": "envelope", b"BODY": "body", b"BODYSTRUCTURE": "structure", b"PREVIEW": "preview"}


def _ready(item: Item) -> str | None:
    """By which name an item lies ready in the index, if it does."""
    if isinstance(item, bytes):
        return _PREPARED.get(item)
    if isinstance(item, SectionItem) and _of_header(item) and item.section.what == FIELDS and item.partial is None:
        return "fields" if set(item.section.names) == COMMON_FIELDS else None
    return None


class _Context(Reading):
    """One message being answered."""

    __slots__ = ("_prepared", "unicode", "wire")

    def __init__(
        self,
        session: Session,
        wire: _FlagWire,
        row: Stored,
        prepared: tuple[bytes | None, ...] | None,
        header: bytes | None,
    ) -> None:
        super().__init__(session.store, row, header)
        self.wire = wire
        self.unicode = session.unicode
        self._prepared = prepared

    def prepared(self, at: int) -> bytes | None:
        """What lies ready for the wire, by its place among what was asked of the index."""
        if self._prepared is None:
            raise MessageGone("the message was purged")
        return self._prepared[at]

    @property
    def size(self) -> int:
        """As served: a file just found damaged has a note in its place."""
        return self.row[5] if self._message is None else self._message.size

    @property
    def has_cut_header(self) -> bool:
        """Whether the header block was too long to be kept: then the message has it."""
        return len(self.raw_header) >= MAX_HEADER


_SIMPLE: dict[bytes, Callable[[_Context], bytes]] = {
    b"UID": lambda c: b"UID %d" % c.row[0],
    b"FLAGS": lambda c: b"FLAGS (%b)" % c.wire.flags(c.row[0], c.row[1]),
    b"MODSEQ": lambda c: b"MODSEQ (%d)" % c.row[2],
    b"RFC822.SIZE": lambda c: b"RFC822.SIZE %d" % c.size,
    b"INTERNALDATE": lambda c: b"INTERNALDATE " + writer.date_time(c.row[6], c.row[7]),
    b"SAVEDATE": lambda c: b"SAVEDATE " + writer.date_time(c.row[3], 0),
    b"EMAILID": lambda c: b"EMAILID (%b)" % email_id(c.row).encode("ascii"),
    b"THREADID": lambda c: b"THREADID " + _thread_id(c.row),
}


def _thread_id(row: Stored) -> bytes:
    found = thread_id(row)
    return b"NIL" if found is None else b"(%b)" % found.encode("ascii")


def _from_messages(
    session: Session, view: View, ranges: list[Range], items: list[Item], since: int | None
) -> Done | None:
    """Answer from full rows; the NO for those that could not be answered."""
    store = session.store
    names = list(dict.fromkeys(name for name in map(_ready, items) if name is not None))
    parts = [_maker(item, names) for item in items]
    wants_header = any(not isinstance(item, bytes) and _of_header(item) and not _ready(item) for item in items)
    opened = any(not isinstance(item, bytes) and not _of_header(item) for item in items)
    wire = _FlagWire(session, view)
    failed: Done | None = None
    for rows in _batches(store, view, ranges):
        if since is not None:
            rows = [row for row in rows if row[2] > since]
        ids = [row[4] for row in rows]
        rendered = store.rendered(ids, names, utf8=session.unicode) if names else {}
        headers = store.headers(ids) if wants_header else {}
        lines = bytearray()
        for number, row in zip(view.numbers([row[0] for row in rows]), rows, strict=True):
            context = _Context(session, wire, row, rendered.get(row[4]), headers.get(row[4]))
            try:
                if opened:
                    context.message  # noqa: B018  # first: damage shows now, and changes the size
                made = [part(context) for part in parts]
                if number:
                    _answer(session, number, made, lines)
            except (MessageGone, MessageUnavailable):
                failed = Done("NO", "some messages are gone or cannot be read now", "UNAVAILABLE")
            except UnknownEncoding as error:
                failed = Done("NO", str(error), "UNKNOWN-CTE")  # RFC 9051 section 6.4.5
            finally:
                context.close()
            if len(lines) > _LARGE:
                _send(session, lines)
        _send(session, lines)
    return failed


def _send(session: Session, lines: bytearray) -> None:
    session.send(bytes(lines))
    lines.clear()


def _batches(store: Store, view: View, ranges: list[Range]) -> Iterator[list[Stored]]:
    """Rows of the messages this session counts, including expunged ones it has not been told of.

    Each batch is read before any of it is sent: a slow client must not hold a read transaction.
    """
    entries, mailbox = store.entries, view.mailbox.id
    known = view.known(ranges)
    for at in range(0, len(known), _BATCH):
        uids = known[at : at + _BATCH]
        found = {row[0]: row for row in entries.stored(mailbox, ranges_of(uids))}
        rows = (found.get(uid) or entries.expunged(mailbox, uid) for uid in uids)
        yield [row for row in rows if row is not None]


def _answer(session: Session, number: int, parts: Sequence[bytes | _Large], lines: bytearray) -> None:
    """One FETCH response: into `lines`, or with a literal in pieces after them."""
    try:
        lines += b"* %d FETCH (%b)\r\n" % (number, b" ".join(parts))  # type: ignore[arg-type]
        return
    except TypeError:
        pass  # rarely a part is too large to be held; to ask each beforehand would take longer
    lines += b"* %d FETCH (" % number
    for at, part in enumerate(parts):
        if at:
            lines += b" "
        if isinstance(part, bytes):
            lines += part
            continue
        _send(session, lines)
        _stream(session, part)
    lines += b")\r\n"


@dataclass(frozen=True, slots=True)
class _Large:
    """A literal too long to be held: its announcement, its length, and where its octets come from."""

    announced: bytes
    length: int
    pieces: Callable[[], Iterator[bytes]]


def _maker(item: Item, names: Sequence[str]) -> Callable[[_Context], bytes | _Large]:
    """What makes an item's part of the answer; `names` are those that are ready, in order."""
    name = _ready(item)
    if isinstance(item, bytes):
        return _SIMPLE[item] if name is None else _ready_maker(item, names.index(name))
    if isinstance(item, BinaryItem):
        return lambda context: _binary(context, item)
    if name is not None:
        return _ready_fields(item, names.index(name))
    if item.section.what == FIELDS and _of_header(item) and item.partial is None:
        return _fields_maker(item)
    return lambda context: _section(context, item)


def _ready_maker(item: bytes, at: int) -> Callable[[_Context], bytes]:
    if item == b"PREVIEW":
        return lambda context: b"PREVIEW " + writer.string(context.prepared(at) or b"", utf8=context.unicode)
    return lambda context: item + b" " + (context.prepared(at) or b"NIL")


def _ready_fields(item: SectionItem, at: int) -> Callable[[_Context], bytes | _Large]:
    announced = item.label.replace(b"%", b"%%") + b" {%d}\r\n%b"

    def make(context: _Context) -> bytes | _Large:
        found = context.prepared(at)
        return _section(context, item) if found is None else announced % (len(found), found)

    return make


def _fields_maker(item: SectionItem) -> Callable[[_Context], bytes | _Large]:
    select, announced = field_selector(item.section.names), item.label.replace(b"%", b"%%") + b" {%d}\r\n%b"

    def make(context: _Context) -> bytes | _Large:
        if context.has_cut_header:
            return _section(context, item)
        found = select(context.raw_header)
        return announced % (len(found), found)

    return make


def _section(context: _Context, item: SectionItem) -> bytes | _Large:
    """A section with its literal, or a large one to be sent in pieces."""
    if _of_header(item) and not context.has_cut_header:
        return _made(item, lambda: _header_part(item.section, context.raw_header))
    message = context.message
    if item.section == Section():
        start, end = 0, message.size
    else:
        located = locate(message.root, item.section)
        if located is None:
            return item.label + b" NIL"
        start, end = located.start, located.end
        if item.section.what in (FIELDS, FIELDS_NOT):
            return _made(item, lambda: _header_part(item.section, message.octets(start, end)))
    if item.partial is not None:
        start = min(start + item.partial[0], end)
        end = min(start + item.partial[1], end)
    length = end - start
    if length > _LARGE:
        return _Large(b"%b {%d}\r\n" % (item.label, length), length, lambda: message.pieces(start, end))
    return item.label + b" " + writer.literal(message.octets(start, end))


def _made(item: SectionItem, make: Callable[[], bytes]) -> bytes | _Large:
    """What is made of a header block; if it is large, it is made again rather than held."""
    found = _cut(make(), item.partial)
    if len(found) <= _LARGE:
        return item.label + b" " + writer.literal(found)
    return _Large(b"%b {%d}\r\n" % (item.label, len(found)), len(found), lambda: iter((_cut(make(), item.partial),)))


def _binary(context: _Context, item: BinaryItem) -> bytes | _Large:
    """A part with its transfer encoding undone (RFC 9051 section 6.4.5, RFC 3516 section 4.2)."""
    message = context.message
    part = find(message.root, item.path) if item.path else message.root
    if part is None:
        return item.label + (b" 0" if item.size_only else b" NIL")
    start, end = (part.body, part.end) if item.path else (0, message.size)
    is_leaf = item.path and not part.is_multipart and not part.is_message
    encoding = part.encoding if is_leaf else b"binary"
    is_text = is_leaf and part.type.lower() == b"text"  # whose lines MUST end with CRLF

    def pieces() -> Iterator[bytes]:
        decoded = decode_stream(message.pieces(start, end), encoding)
        if decoded is None:
            raise UnknownEncoding(f"part {item.label.decode('ascii')} has an unknown Content-Transfer-Encoding")
        return with_crlf(decoded) if is_text else decoded

    if item.size_only:
        return item.label + b" %d" % sum(map(len, pieces()))
    if end - start <= _LARGE:
        octets = _cut(b"".join(pieces()), item.partial)
        return item.label + (b" ~" if b"\0" in octets else b" ") + writer.literal(octets)
    return _large_binary(item, pieces)


def _large_binary(item: BinaryItem, pieces: Callable[[], Iterator[bytes]]) -> _Large:
    """Decoded twice rather than held: once to announce its length, once to send it."""
    start, wanted = item.partial or (0, 2**63)
    length, nul = 0, False
    for piece in slices(pieces(), start, wanted):
        length += len(piece)
        nul = nul or b"\0" in piece
    announced = b"%b %b{%d}\r\n" % (item.label, b"~" if nul else b"", length)
    return _Large(announced, length, lambda: slices(pieces(), start, wanted))


def slices(pieces: Iterable[bytes], start: int, length: int) -> Iterator[bytes]:
    """Octets `start` to `start + length` of what comes in pieces."""
    position, end = 0, start + length
    for piece in pieces:
        wanted = piece[max(start - position, 0) : max(end - position, 0)]
        position += len(piece)
        if wanted:
            yield wanted
        if position >= end:
            return


def _stream(session: Session, large: _Large) -> None:
    """A literal in pieces. Damage found in the middle cannot be told any more: the connection breaks."""
    session.send(large.announced)
    sent = 0
    try:
        for piece in large.pieces():
            sent += len(piece)
            session.send(piece)
    except Damaged as error:
        raise Broken(str(error)) from error
    if sent != large.length:
        raise Broken("the message has another length than its row says")


def _of_header(item: SectionItem | BinaryItem) -> bool:
    """Whether the top-level header block answers it."""
    return isinstance(item, SectionItem) and not item.section.path and item.section.what in (HEADER, FIELDS, FIELDS_NOT)


def _header_part(section: Section, header: bytes) -> bytes:
    if section.what in (FIELDS, FIELDS_NOT):
        return select_fields(header, section.names, inverted=section.what == FIELDS_NOT)
    return header


def _cut(octets: bytes, partial: tuple[int, int] | None) -> bytes:
    return octets if partial is None else octets[partial[0] : partial[0] + partial[1]]
