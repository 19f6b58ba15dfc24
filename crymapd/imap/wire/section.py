"""BODY[section]: which octets of a message a section names (RFC 9051 section 6.4.5.1)."""

from __future__ import annotations

from dataclasses import dataclass

from crymapd.mime.parts import Part, part_at

WHOLE, HEADER, TEXT, MIME = "", "HEADER", "TEXT", "MIME"
FIELDS, FIELDS_NOT = "HEADER.FIELDS", "HEADER.FIELDS.NOT"


@dataclass(frozen=True, slots=True)
class Section:
    """`1.2.HEADER.FIELDS (TO)`: part numbers, what of the part, and lower-case field names."""

    path: tuple[int, ...] = ()
    what: str = WHOLE
    names: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Located:
    """Octets `start` to `end` of the message; for HEADER.FIELDS still to be selected from."""

    start: int
    end: int
    part: Part


def locate(root: Part, section: Section) -> Located | None:
    """The octets a section names; None where there is no such part."""
    if not section.path:
        if section.what in (HEADER, FIELDS, FIELDS_NOT):
            return Located(0, root.body, root)
        return Located(root.body if section.what == TEXT else 0, root.end, root)
    part = part_at(root, section.path)
    if part is None:
        return None
    if section.what == WHOLE:
        return Located(part.body, part.end, part)
    if section.what == MIME:
        return Located(part.start, part.body, part)
    # HEADER and TEXT are of the message inside message/rfc822.
    if not part.is_message or not part.children:
        return None
    inner = part.children[0]
    if section.what == TEXT:
        return Located(inner.body, inner.end, inner)
    return Located(inner.start, inner.body, inner)
