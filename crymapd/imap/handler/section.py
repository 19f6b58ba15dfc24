"""BODY[...] and BINARY[...]: octets of one message, whole or in pieces (RFC 9051 section 6.4.5)."""

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
"""Octets that an answer may have before it is sent in pieces."""


class UnknownEncoding(Exception):
    """A part cannot be decoded: its transfer encoding is none we know."""


@dataclass(frozen=True, slots=True)
class Large:
    """A literal too long to be held: its announcement, its length, and where its octets come from."""

    announced: bytes
    length: int
    pieces: Callable[[], Iterator[bytes]]


def of_header(item: SectionItem | BinaryItem) -> bool:
    """Whether the top-level header block answers it."""
    return isinstance(item, SectionItem) and not item.section.path and item.section.what in (HEADER, FIELDS, FIELDS_NOT)


def from_header(item: SectionItem) -> Callable[[bytes], bytes | None]:
    """What makes the answer of a top-level header block; None where it is too long for that."""
    if item.section.what == FIELDS:
        select = field_selector(item.section.names)
    else:
        select = lambda header: _header_part(item.section, header)  # noqa: E731
    announced = item.label.replace(b"%", b"%%") + b" {%d}\r\n%b"

    def make(header: bytes) -> bytes | None:
        if len(header) >= MAX_HEADER:
            return None  # the block was cut when it was kept: the message has it
        found = _cut(select(header), item.partial)
        return announced % (len(found), found) if len(found) <= LARGE else None

    return make


def section(reading: Reading, item: SectionItem) -> bytes | Large:
    """A section with its literal, or a large one to be sent in pieces."""
    if of_header(item) and len(reading.raw_header) < MAX_HEADER:
        return _made(item, lambda: _header_part(item.section, reading.raw_header))
    message = reading.message
    if item.section == WHOLE_MESSAGE:
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
    return _literal(message, item.label, start, end)


def whole(reading: Reading, label: bytes) -> bytes | Large:
    """`BODY[]`."""
    message = reading.message
    return _literal(message, label, 0, message.size)


def _literal(message: Message, label: bytes, start: int, end: int) -> bytes | Large:
    length = end - start
    if length > LARGE:
        return Large(b"%b {%d}\r\n" % (label, length), length, lambda: message.pieces(start, end))
    return b"%b {%d}\r\n%b" % (label, length, message.octets(start, end))


def _made(item: SectionItem, make: Callable[[], bytes]) -> bytes | Large:
    """What is made of a header block; if it is large, it is made again rather than held."""
    found = _cut(make(), item.partial)
    if len(found) <= LARGE:
        return item.label + b" " + writer.literal(found)
    return Large(b"%b {%d}\r\n" % (item.label, len(found)), len(found), lambda: iter((_cut(make(), item.partial),)))


def binary(reading: Reading, item: BinaryItem) -> bytes | Large:
    """A part with its transfer encoding undone (RFC 3516 section 4.2). Raises UnknownEncoding."""
    message = reading.message
    part = part_at(message.root, item.path) if item.path else message.root
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
    if end - start <= LARGE:
        octets = _cut(b"".join(pieces()), item.partial)
        return item.label + (b" ~" if b"\0" in octets else b" ") + writer.literal(octets)
    return _large_binary(item, pieces)


def _large_binary(item: BinaryItem, pieces: Callable[[], Iterator[bytes]]) -> Large:
    """Decoded twice rather than held: once to announce its length, once to send it."""
    start, end = (0, None) if item.partial is None else (item.partial[0], sum(item.partial))
    length, nul = 0, False
    for piece in slices(pieces(), start, end):
        length += len(piece)
        nul = nul or b"\0" in piece
    announced = b"%b %b{%d}\r\n" % (item.label, b"~" if nul else b"", length)
    return Large(announced, length, lambda: slices(pieces(), start, end))


def stream(session: Session, large: Large) -> None:
    """A literal in pieces. What goes wrong in the middle cannot be told any more: the connection breaks."""
    session.send(large.announced)
    sent = 0
    try:
        for piece in large.pieces():
            sent += len(piece)
            session.send(piece)
    except (CrymapError, OSError) as error:
        raise Broken(str(error)) from error
    if sent != large.length:
        raise Broken("the message has another length than its row says")


def _header_part(asked: Section, header: bytes) -> bytes:
    if asked.what in (FIELDS, FIELDS_NOT):
        return select_fields(header, asked.names, inverted=asked.what == FIELDS_NOT)
    return header


def _cut(octets: bytes, partial: tuple[int, int] | None) -> bytes:
    return octets if partial is None else octets[partial[0] : partial[0] + partial[1]]
