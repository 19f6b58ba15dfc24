"""The searchable text of a message: decoded headers and decoded text parts (RFC 9051 section 6.4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from crymapd.mime import content
from crymapd.mime.encoded_words import decode, decode_words
from crymapd.mime.header import Header, unfold
from crymapd.mime.parts import Part

MAX_PART_TEXT = 16 << 20
Reader = Callable[[int, int], Iterator[bytes]]
"""Octets from an offset to another, in pieces."""


def fold(text: str) -> str:
    """The form in which texts are compared: without case, white space runs as one space."""
    return " ".join(text.casefold().split())


def header_text(header: Header) -> str:
    """Every field of a header block, decoded, one a line."""
    lines = [decode(name, None) + ": " + decode_words(value) for name, value in _unfolded(header)]
    return "\n".join(lines)


def _unfolded(header: Header) -> Iterator[tuple[bytes, bytes]]:
    for name, value in header.fields:
        yield name, unfold(value)


def body_texts(root: Part, read: Reader, *, headers: bool) -> Iterator[str]:
    """The text of each text part, and with `headers` the header blocks of parts and inner messages.

    The top-level header is not among them.
    """
    stack = [root]
    while stack:
        part = stack.pop()
        if headers and part is not root:
            yield header_text(part.header)
        if part.children:
            stack.extend(reversed(part.children))
        elif part.type.lower() == b"text":
            yield part_text(part, read)


def part_text(part: Part, read: Reader) -> str:
    """One text part, transfer encoding and charset undone, at most 16 MiB of it."""
    raw = read(part.body, part.end)
    pieces = content.decode_stream(raw, part.encoding) or read(part.body, part.end)
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > MAX_PART_TEXT:
            break
    label = part.content.parameter(b"charset") if part.content else None
    return decode(bytes(data), label)
