"""The section of BODY[section], and which octets of a message it names (RFC 9051 section 6.4.5.1)."""

from __future__ import annotations

from dataclasses import dataclass

from crymapd.mime.parts import Part, part_at

WHOLE, HEADER, TEXT, MIME = "", "HEADER", "TEXT", "MIME"
FIELDS, FIELDS_NOT = "HEADER.FIELDS", "HEADER.FIELDS.NOT"


@dataclass(frozen=True, slots=True)
class Section:
    """A section such as `1.2.HEADER.FIELDS (TO)`.

    Attributes:
        path: the part numbers; empty for the message itself.
        what: what of the part is meant: WHOLE, HEADER, TEXT, MIME, FIELDS or FIELDS_NOT.
        names: the field names of FIELDS and FIELDS_NOT, in lower case.
    """

    path: tuple[int, ...] = ()
    what: str = WHOLE
    names: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Located:
    """The octets from `start` to `end` of a message, in `part`.

    For FIELDS and FIELDS_NOT they are the whole header block, from which the fields must still be selected.
    """

    start: int
    end: int
    part: Part


def locate(root: Part, section: Section) -> Located | None:
    """Find the octets that a section names; returns None if the message has no such part."""
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
    # HEADER and TEXT of a message/rfc822 part mean the message inside it.
    if not part.is_message or not part.children:
        return None
    inner = part.children[0]
    if section.what == TEXT:
        return Located(inner.body, inner.end, inner)
    return Located(inner.start, inner.body, inner)
