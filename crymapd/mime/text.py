"""The searchable text of a message: decoded header fields and decoded text parts (RFC 9051 section 6.4.4).

SEARCH looks for substrings, and every blank counts.  Texts are compared in *search form*: casemapped (RFC 5051), with
LF for line ends.  An unfolded header field is a unit, and so is a text part with all its lines; no match extends
beyond a unit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from crymapd.mime import addresses, content
from crymapd.mime.charsets import decode
from crymapd.mime.collation import collation_key
from crymapd.mime.encoded_words import decode_words
from crymapd.mime.header import Header
from crymapd.mime.parts import Part, walk

MAX_PART_TEXT = 16 << 20
MAX_SEARCH_TEXTS = 8 << 20
ADDRESS_FIELDS = (b"from", b"to", b"cc", b"bcc")
"""The fields for whose addresses SEARCH has keys."""
_BETWEEN_UNITS = "\0"
_FOLD = re.compile(rb"\r?\n[ \t]")
_LINE_END = re.compile(rb"\r?\n")
_SPECIAL = re.compile(rb'[()<>@,;:\\"\[\].]')
_NOT_DOT_ATOM = re.compile(rb'[()<>@,;:\\"\[\]\s]')

ReadOctets = Callable[[int, int], Iterator[bytes]]
"""Yields the octets of a message between two offsets, in pieces."""


class Passage:
    """Read a message in one pass, for a caller that asks for ascending offsets."""

    def __init__(self, pieces: Iterator[bytes], start: int) -> None:
        """Begin with an iterator whose first piece lies at offset `start`."""
        self._pieces = pieces
        self._piece = b""
        self._start = start  # the offset of the piece

    def octets(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the octets from `start` to `end`; octets before `start` cannot be read any more."""
        while start < end:
            at = start - self._start
            if at >= len(self._piece):
                self._start += len(self._piece)
                self._piece = next(self._pieces, b"")
                if not self._piece:
                    return
            else:
                piece = self._piece[at : at + end - start]
                start += len(piece)
                yield piece


def passage(parts: list[Part], read: ReadOctets) -> Passage:
    """Begin the pass in which the bodies of some parts, sorted by offset, can be read."""
    start, end = (parts[0].body, parts[-1].end) if parts else (0, 0)
    return Passage(read(start, end), start)


def search_form(text: str) -> str:
    """Return the form in which texts are compared; it never contains NUL, which separates units."""
    return collation_key(text.replace("\r\n", "\n").replace("\0", "\ufffd"))


@dataclass(frozen=True, slots=True)
class SearchTexts:
    """Hold what SEARCH looks into, in search form, with units separated by NUL.

    Attributes:
        header: the decoded top-level header.
        forms: other texts in which HEADER, FROM and their like search, unless `header` contains them.
        parts: decoded headers of parts and of messages within.
        bodies: decoded text parts.
    """

    header: str
    forms: str
    parts: str
    bodies: str

    def has(self, wanted: str, *, header: bool) -> bool:
        """Tell whether a text in search form occurs in the body (BODY), or with `header` anywhere (TEXT)."""
        return wanted in self.bodies or (header and (wanted in self.header or wanted in self.parts))

    @property
    def words(self) -> str:
        """The whole text for an index of trigrams, for which units need not be separated."""
        return "\n".join((self.header, self.forms, self.parts, self.bodies)).replace(_BETWEEN_UNITS, "\n")

    @property
    def size(self) -> int:
        """The number of characters."""
        return len(self.header) + len(self.forms) + len(self.parts) + len(self.bodies)


def search_texts(root: Part, read: ReadOctets) -> SearchTexts | None:
    """Return the searchable text of a message, or None if it is too long to be held."""
    if not can_be_held(root):
        return None
    return joined_texts(root, (search_form(text) for text in body_texts(root, read)))


def can_be_held(root: Part) -> bool:
    """Tell whether the texts of a message are short enough to be held together."""
    return sum(part.end - part.body for part in text_parts(root)) <= MAX_SEARCH_TEXTS


def joined_texts(root: Part, bodies: Iterator[str]) -> SearchTexts:
    """Combine a message's header with its text parts, which are in search form already."""
    return SearchTexts(*header_search_texts(root), _BETWEEN_UNITS.join(bodies))


def header_search_texts(root: Part) -> tuple[str, str, str]:
    """Return `header`, `forms` and `parts` of SearchTexts."""
    header = _joined(header_lines(root.header))
    below = _BETWEEN_UNITS.join(_joined(header_lines(part.header)) for part in _below(root))
    return header, _joined(_other_forms(root.header)), below


def _joined(lines: Iterator[str]) -> str:
    return _BETWEEN_UNITS.join(map(search_form, lines))


def text_parts(root: Part) -> list[Part]:
    """Return the parts that a person can read, in order: text, delivery reports and their like (message/...)."""
    return [part for part in walk(root) if not part.children and part.type.lower() in (b"text", b"message")]


def header_lines(header: Header) -> Iterator[str]:
    """Yield every field of a header block, decoded and with its name, then the lines that are no fields."""
    for name, value in header.fields:
        yield decode(name, None) + ":" + decode_words(_unfolded(value))
        if b"*" in value and name in _WITH_PARAMETERS:
            yield from extended_values(_unfolded(value).strip())
    yield from (decode_words(_unfolded(line)) for line in header.others)


def field_texts(value: bytes) -> list[str]:
    """Return the texts in which HEADER looks for its string: the decoded value, and the raw one if it differs.

    Args:
        value: the octets behind the colon. The blank that usually begins them is not part of the text.
    """
    unfolded = [_unfolded(value)]
    if b"=?" in value or b"\n\t" in value:
        unfolded.append(_LINE_END.sub(b"", value))
    first, *others = (line[1:] if line[:1] in (b" ", b"\t") else line for line in unfolded)
    return [decode_words(first), *(decode(line, None) for line in others)]


def _unfolded(value: bytes) -> bytes:
    """Return a field on one line (RFC 5322 section 2.2.3); a fold with a tab reads as a blank."""
    if value.endswith(b"\r\n") and value.find(b"\n") == len(value) - 1:  # as most fields
        return value[:-2]
    return _LINE_END.sub(b"", _FOLD.sub(b" ", value))


def _other_forms(header: Header) -> Iterator[str]:
    """Yield the texts, beside the header's lines, into which HEADER, FROM and their like look."""
    for name, value in header.fields:
        first, *others = field_texts(value)
        if name in ADDRESS_FIELDS:
            others.append(address_text(value))
        yield from (form for form in others if form not in first)


_PLAIN_ADDRESS = re.compile(
    rb" ?((?:[A-Za-z0-9]+ )+<[A-Za-z0-9+-]+(?:\.[A-Za-z0-9+-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*>)\s*"
)
"""One address as most mail has it, which is written in our notation already; parsing it takes ten times as long."""


def address_text(value: bytes) -> str:
    """Return a field's addresses as ENVELOPE has them, in a uniform notation: `"Doe, Ann" <ann@example.org>`.

    FROM, TO, CC and BCC search this text (RFC 9051 section 6.4.4), which contains neither comments nor folds.
    """
    unfolded = _unfolded(value)
    if plain := _PLAIN_ADDRESS.fullmatch(unfolded):
        return plain[1].decode("ascii")
    pieces: list[str] = []
    for address in addresses.each(unfolded):
        if address.host is not None:
            pieces += (_one_address(address), ", ")
        elif address.mailbox is not None:
            pieces += (decode_words(address.mailbox) + ": ", "")
        else:
            pieces[-1:] = (";", ", ")
    return "".join(pieces[:-1])


def _one_address(address: addresses.Address) -> str:
    name = address.name or b""
    text = decode_words(name)
    if _SPECIAL.search(name):
        text = _quoted(text)
    mailbox, host = decode(address.mailbox or b"", None), decode(address.host or b"", None)
    if not (mailbox or host):
        return text
    if _NOT_DOT_ATOM.search(address.mailbox or b""):
        mailbox = _quoted(mailbox)
    route = decode(address.route, None) + ":" if address.route else ""
    return f"{text} <{route}{mailbox}@{host}>".lstrip() if host else f"{text} <{mailbox}>".lstrip()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WITH_PARAMETERS = (b"content-type", b"content-disposition")


def extended_values(field: bytes) -> list[str]:
    """Return the parameters that name a charset or come in pieces (RFC 2231 sections 3 and 4), as text."""
    written, joined = content.written(field), content.valued(field)
    if written is None or joined is None:
        return []
    return [
        decode(*content.extended_octets(name, value))
        for name, value in joined.parameters
        if content.is_extended(name) or (name, value) not in written.parameters
    ]


def _below(root: Part) -> Iterator[Part]:
    """Yield every part below the message itself, in order."""
    return islice(walk(root), 1, None)


def body_texts(root: Part, read: ReadOctets) -> Iterator[str]:
    """Yield the decoded text of each text part, in one pass over the message."""
    parts = text_parts(root)
    octets = passage(parts, read).octets
    return (part_text(part, octets) for part in parts)


def part_text(part: Part, read: ReadOctets, *, octets: int | None = None) -> str:
    """Return the text of one part with its transfer encoding and charset decoded.

    Args:
        part: the part.
        read: yields octets of the message.
        octets: how many octets of the part are read; the text never exceeds 16 MiB.
    """
    end = part.end if octets is None else min(part.end, part.body + octets)
    octets_of_part = read(part.body, end)
    pieces = content.decode_stream(octets_of_part, part.encoding) or octets_of_part
    text = bytearray()
    for piece in pieces:
        text += piece
        if len(text) > MAX_PART_TEXT:
            break
    label = part.content.parameter(b"charset") if part.content else None
    return decode(bytes(text[:octets]), label)
