"""The searchable text of a message: decoded header fields and decoded text parts (RFC 9051 section 6.4.4).

Texts are compared in *search form*: without case, accents apart from their letters, white space runs as one space.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from crymapd.mime import content
from crymapd.mime.charsets import decode
from crymapd.mime.encoded_words import decode_words
from crymapd.mime.header import Header, unfold
from crymapd.mime.parts import Part, walk

MAX_PART_TEXT = 16 << 20
MAX_SEARCH_TEXTS = 8 << 20
_MAX_KNOWN_CHARACTERS = 20_000
_SLICE = 1 << 16

ReadOctets = Callable[[int, int], Iterator[bytes]]
"""Gives the octets of a message from an offset to another, in pieces."""


class _SearchForms(dict[int, str]):
    """The search form of each character (RFC 5051), looked up once.

    Characters are looked up one by one, because ordering a long run of combining marks takes time beyond its length.
    """

    def __missing__(self, code: int) -> str:
        form = unicodedata.normalize("NFKD", chr(code).casefold()).casefold() if code else " "
        if len(self) >= _MAX_KNOWN_CHARACTERS:
            self.clear()  # nobody writes in so many scripts: a stranger wants the memory
        self[code] = form
        return form


_SEARCH_FORMS = _SearchForms()


def search_form(text: str) -> str:
    """The form in which texts are compared: without case; runs of white space and NUL are one space.

    It is made a slice at a time, since the words of a long text, each an object, would take many times its size.
    """
    form = "".join(_slice_form(text[at : at + _SLICE]) for at in range(0, len(text), _SLICE))
    while "  " in form:  # where slices meet
        form = form.replace("  ", " ")
    return form.strip(" ")


def _slice_form(text: str) -> str:
    """The search form of a slice, with a space where it begins or ends with white space."""
    lowered = text.lower().replace("\0", " ") if text.isascii() else text.translate(_SEARCH_FORMS)
    before, after = (" " if end.isspace() else "" for end in (lowered[:1], lowered[-1:]))
    return before + " ".join(lowered.split()) + after


@dataclass(frozen=True, slots=True)
class SearchTexts:
    """What SEARCH looks into, in search form; pieces are parted by line ends, which no text has.

    Attributes:
        header: the decoded top-level header.
        raw: the top-level header as it came, where it holds encoded words.
        parts: decoded headers of parts and of messages within.
        bodies: decoded text parts.
    """

    header: str
    raw: str
    parts: str
    bodies: str

    def has(self, wanted: str, *, header: bool) -> bool:
        """Whether a text in search form is in the body, or with `header` in any of it (BODY and TEXT)."""
        return wanted in self.bodies or (header and (wanted in self.header or wanted in self.parts))

    @property
    def size(self) -> int:
        """How many characters there are."""
        return len(self.header) + len(self.raw) + len(self.parts) + len(self.bodies)


def search_texts(root: Part, read: ReadOctets) -> SearchTexts | None:
    """The searchable text of a message; None where it is too long to be held."""
    if sum(part.end - part.body for part in _texts(root)) > MAX_SEARCH_TEXTS:
        return None
    bodies = "\n".join(search_form(part_text(part, read)) for part in _texts(root))
    return SearchTexts(*header_search_texts(root), bodies)


def header_search_texts(root: Part) -> tuple[str, str, str]:
    """`header`, `raw` and `parts` of SearchTexts."""
    raw = ""
    if b"=?" in root.header.raw:
        raw = "\n".join(decode(value, None) for _name, value in _unfolded(root.header))
    below = "\n".join(search_form(header_text(part.header)) for part in _below(root))
    return search_form(header_text(root.header)), search_form(raw), below


def _texts(root: Part) -> Iterator[Part]:
    """The parts that a person can read, in order: text, and reports of delivery and their like (message/...)."""
    for part in walk(root):
        if not part.children and part.type.lower() in (b"text", b"message"):
            yield part


def header_text(header: Header) -> str:
    """Every field of a header block, decoded, one a line, and what else stands there."""
    lines: list[str] = []
    for name, value in _unfolded(header):
        lines.append(decode(name, None) + ": " + decode_words(value))
        if b"*" in value and name in _WITH_PARAMETERS:
            lines += extended_values(value)
    lines += (decode_words(unfold(line)) for line in header.others)
    return "\n".join(lines)


_WITH_PARAMETERS = (b"content-type", b"content-disposition")


def extended_values(field: bytes) -> list[str]:
    """The parameters that are in a charset of their own or in pieces (RFC 2231 sections 3 and 4), as text."""
    written, joined = content.written(field), content.valued(field)
    if written is None or joined is None:
        return []
    return [
        decode(*content.extended_octets(name, value))
        for name, value in joined.parameters
        if content.is_extended(name) or (name, value) not in written.parameters
    ]


def _unfolded(header: Header) -> Iterator[tuple[bytes, bytes]]:
    for name, value in header.fields:
        yield name, unfold(value)


def _below(root: Part) -> Iterator[Part]:
    """Every part but the message itself, in order."""
    return islice(walk(root), 1, None)


def body_texts(root: Part, read: ReadOctets) -> Iterator[str]:
    """The text of each text part, decoded, one at a time."""
    return (part_text(part, read) for part in _texts(root))


def part_text(part: Part, read: ReadOctets, *, octets: int | None = None) -> str:
    """The text of one part with its transfer encoding and charset undone.

    Args:
        part: which one.
        read: gives the octets of the message.
        octets: how many of the part's octets to look at, from its beginning; at most 16 MiB of text in any case.
    """
    end = part.end if octets is None else min(part.end, part.body + octets)
    pieces = content.decode_stream(read(part.body, end), part.encoding) or read(part.body, end)
    text = bytearray()
    for piece in pieces:
        text += piece
        if len(text) > MAX_PART_TEXT:
            break
    label = part.content.parameter(b"charset") if part.content else None
    return decode(bytes(text[:octets]), label)
