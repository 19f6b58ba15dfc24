"""BODY[...] and BINARY[...]: octets of one message, at once or in pieces (RFC 9051 section 6.4.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crymapd.errors import CrymapError
from crymapd.imap.command.fetch import BinaryItem, SectionItem
from crymapd.imap.handler.reading import Reading
from crymapd.imap.response import Broken
from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.imap.wire.section import FIELDS, FIELDS_NOT, HEADER, Section, locate
from crymapd.mime.content import decode_stream, slices, with_crlf
from crymapd.mime.header import field_selector, select_fields
from crymapd.mime.parts import MAX_HEADER, part_at
from crymapd.store.message import Message

WHOLE_MESSAGE = Section()
LARGE = 64 * 1024
"""The most octets that are held at once; a longer literal is sent in pieces."""


class UnknownEncoding(Exception):
    """A part cannot be decoded, because we do not know its transfer encoding."""


@dataclass(frozen=True, slots=True)
class Large:
    """A literal that is sent in pieces, because it is too long to be held.

    Attributes:
        announcement: the item and the announcement of the literal, with its line end.
        length: the octets of the literal.
        pieces: returns the octets, from the first, each time it is called.
    """

    announcement: bytes
    length: int
    pieces: Callable[[], Iterator[bytes]]


def needs_only_header(item: SectionItem | BinaryItem) -> bool:
    """Return whether an item can be made from the top-level header block."""
    return isinstance(item, SectionItem) and not item.section.path and item.section.what in (HEADER, FIELDS, FIELDS_NOT)


def header_maker(item: SectionItem) -> Callable[[bytes], bytes | None]:
    """Return a function that makes an item from a top-level header block.

    The function returns None if the header block or the item is too long, and then the message must be opened.
    """
    if item.section.what == FIELDS:
        select = field_selector(item.section.names)
    else:
        select = lambda header: _header_part(item.section, header)  # noqa: E731
    label = item.label + b" "

    def make(header: bytes) -> bytes | None:
        if len(header) >= MAX_HEADER:
            return None  # the index keeps only the beginning of it
        octets = _cut(select(header), item.partial)
        return label + writer.literal(octets) if len(octets) <= LARGE else None

    return make


def section(reading: Reading, item: SectionItem) -> bytes | Large:
    """Make a section from the message itself."""
    if needs_only_header(item) and len(reading.raw_header) < MAX_HEADER:
        return _from_fields(item, lambda: _header_part(item.section, reading.raw_header))
    message = reading.message
    if item.section == WHOLE_MESSAGE:
        start, end = 0, message.size
    else:
        located = locate(message.root, item.section)
        if located is None:
            return item.label + b" NIL"
        start, end = located.start, located.end
        if item.section.what in (FIELDS, FIELDS_NOT):
            return _from_fields(item, lambda: _header_part(item.section, message.octets(start, end)))
    if item.partial is not None:
        start = min(start + item.partial[0], end)
        end = min(start + item.partial[1], end)
    return _literal(message, item.label, start, end)


def whole(reading: Reading, label: bytes) -> bytes | Large:
    """Make `BODY[]`, under the name that the client used."""
    message = reading.message
    return _literal(message, label, 0, message.size)


def _literal(message: Message, label: bytes, start: int, end: int) -> bytes | Large:
    length = end - start
    if length > LARGE:
        pieces = lambda: map(writer.without_nul, message.pieces(start, end))  # noqa: E731
        return Large(b"%b {%d}\r\n" % (label, length), length, pieces)
    return label + b" " + writer.literal(message.octets(start, end))


def _from_fields(item: SectionItem, make: Callable[[], bytes]) -> bytes | Large:
    """Make a section whose octets are selected from a header block; if they are many, they are selected twice."""
    octets = _cut(make(), item.partial)
    if len(octets) <= LARGE:
        return item.label + b" " + writer.literal(octets)
    length = len(octets)
    pieces = lambda: iter((writer.without_nul(_cut(make(), item.partial)),))  # noqa: E731
    return Large(b"%b {%d}\r\n" % (item.label, length), length, pieces)


def binary(reading: Reading, item: BinaryItem) -> bytes | Large:
    """Make a part with its transfer encoding undone, or its size (RFC 3516 section 4.2).

    Raises:
        UnknownEncoding: the transfer encoding of the part is unknown.
    """
    message = reading.message
    part = part_at(message.root, item.path) if item.path else message.root
    if part is None:
        return item.label + (b" 0" if item.size_only else b" NIL")
    start, end = (part.body, part.end) if item.path else (0, message.size)
    is_leaf = item.path and not part.is_multipart and not part.is_message
    encoding = part.encoding if is_leaf else b"binary"
    is_text = is_leaf and part.type.lower() == b"text"  # the lines of a text MUST end with CRLF

    def pieces() -> Iterator[bytes]:
        decoded = decode_stream(message.pieces(start, end), encoding)
        if decoded is None:
            raise UnknownEncoding(f"part {item.label.decode('ascii')} has an unknown Content-Transfer-Encoding")
        return with_crlf(decoded) if is_text else decoded

    if item.size_only:
        return item.label + b" %d" % sum(map(len, pieces()))
    if end - start <= LARGE:
        octets = _cut(b"".join(pieces()), item.partial)
        return item.label + b" " + (writer.literal8(octets) if b"\0" in octets else writer.literal(octets))
    return _large_binary(item, pieces)


def _large_binary(item: BinaryItem, pieces: Callable[[], Iterator[bytes]]) -> Large:
    """Make a large part, which is decoded twice rather than held: once for its length, once to be sent."""
    start, end = (0, None) if item.partial is None else (item.partial[0], sum(item.partial))
    length, has_nul = 0, False
    for piece in slices(pieces(), start, end):
        length += len(piece)
        has_nul = has_nul or b"\0" in piece
    announcement = b"%b %b{%d}\r\n" % (item.label, b"~" if has_nul else b"", length)
    return Large(announcement, length, lambda: slices(pieces(), start, end))


def stream(session: Session, large: Large) -> None:
    """Send a large literal in pieces.

    Raises:
        Broken: the octets could not be read to their end, which cannot be told within a literal.
    """
    session.send(large.announcement)
    sent = 0
    try:
        for piece in large.pieces():
            sent += len(piece)
            session.send(piece)
    except (CrymapError, OSError) as error:
        raise Broken(str(error)) from error
    if sent != large.length:
        raise Broken("the message has another length than its row says")


def _header_part(section: Section, header: bytes) -> bytes:
    if section.what in (FIELDS, FIELDS_NOT):
        return select_fields(header, section.names, inverted=section.what == FIELDS_NOT)
    return header


def _cut(octets: bytes, partial: tuple[int, int] | None) -> bytes:
    return octets if partial is None else octets[partial[0] : partial[0] + partial[1]]
