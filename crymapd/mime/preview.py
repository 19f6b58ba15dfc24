"""PREVIEW: the first words of a message's own text (RFC 8970), not of anything attached to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from crymapd.mime import content
from crymapd.mime.markup import visible_text
from crymapd.mime.parts import Part
from crymapd.mime.text import ReadOctets, part_text, passage

MAX_CHARACTERS = 200
"""The length that RFC 8970 section 3.1 recommends; it allows 256."""
_MAX_PLAIN = 64 * 1024
_MAX_MARKUP = 8 << 20
"""The octets of a part that are read; in HTML, pictures and styles may precede the text."""
_MAX_CANDIDATES = 50
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff\u034f\u00ad]+")
_FOOTER = re.compile(r"\s*(?:[_=~*#-][ \t]?){2,}[ \t]*(?:\r?\n|\Z)")
"""The beginning of a part that a mailing list appended: a line of underscores, hyphens or their like."""


class Previewer:
    """Choose the preview of a message among its texts, which may be given in any order."""

    def __init__(self, root: Part) -> None:
        """Rank the parts that may be shown, the best first."""
        self._ranked = list(islice(_own_texts(root), _MAX_CANDIDATES))
        self._previews: dict[int, str] = {}
        self._footers = _after_the_first(root)

    def parts(self) -> list[Part]:
        """Return the parts whose texts are needed, in the order of their offsets."""
        return sorted(self._ranked, key=lambda part: part.body)

    def take(self, part: Part, text: str, *, is_whole: bool = True) -> None:
        """Take the text of a part; an incomplete text that yields a shorter preview is ignored."""
        words = "" if id(part) in self._footers and _FOOTER.match(text) else _first_words(part, text)
        if is_whole or len(words) >= MAX_CHARACTERS - 1:
            self._previews[id(part)] = words

    @property
    def preview(self) -> str | None:
        """The first words of the best part that has any, or None while a better part has not been read."""
        for part in self._ranked:
            words = self._previews.get(id(part))
            if words is None or words:
                return words
        return ""


def preview(root: Part, read: ReadOctets) -> str:
    """Return at most 200 characters of the part that a reader would be shown first, or nothing if there is none."""
    previewer = Previewer(root)
    parts = previewer.parts()
    octets = passage(parts, read).octets
    for part in parts:
        if previewer.preview is not None:
            break
        previewer.take(part, part_text(part, octets, octets=wanted_octets(part)))
    return previewer.preview or ""


def wanted_octets(part: Part) -> int:
    """Return how many octets of a part are read for its first words."""
    return _MAX_MARKUP if _is_html(part) else _MAX_PLAIN


def _first_words(part: Part, text: str) -> str:
    pieces: Iterable[str] = visible_text(text) if _is_html(part) else (text[:_MAX_PLAIN],)
    words, unread = "", ""
    for piece in pieces:
        unread += piece
        if len(unread) > MAX_CHARACTERS:
            words, unread = _cleaned(words + unread), ""
            words += " " if piece[-1:].isspace() and words else ""
        if len(words) > MAX_CHARACTERS:
            break
    return _cleaned(words + unread)[:MAX_CHARACTERS].rstrip()


def _cleaned(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


def _own_texts(root: Part) -> Iterator[Part]:
    """Yield the leaves that hold the message's own text, in the order in which they are preferred.

    Plain text is preferred among alternatives. Attached messages and files are not the message's own text.
    """
    stack = [(root, False)]
    while stack:
        part, may_have_name = stack.pop()
        if _is_attachment(part) or (part is not root and not may_have_name and _has_name(part)):
            continue
        if part.is_multipart:
            stack.extend((child, _subtype(part) == b"alternative") for child in reversed(_shown(part)))
        elif part.type.lower() == b"text" and _subtype(part) in (b"plain", b"html"):
            yield part


def _shown(part: Part) -> list[Part]:
    """Return the children of a multipart that show its text, in the order in which they are tried."""
    match _subtype(part):
        case b"encrypted":
            return []
        case b"signed" | b"report" | b"related":
            return [_root_of(part)] if part.children else []
        case b"alternative":
            return sorted(part.children, key=lambda child: (child.type.lower(), _subtype(child)) != (b"text", b"plain"))
        case _:
            return part.children


def _root_of(part: Part) -> Part:
    """Return the part that the others belong to: the one that `start` names (RFC 2387 section 3.2), or the first."""
    start = part.content.parameter(b"start") if part.content and _subtype(part) == b"related" else None
    if start:
        for child in part.children:
            if child.header.first(b"content-id") == start.strip():
                return child
    return part.children[0]


def _after_the_first(root: Part) -> set[int]:
    """Return the ids of parts that follow the first of a multipart, where mailing lists append their footers."""
    ids: set[int] = set()
    stack = [root]
    while stack:
        part = stack.pop()
        stack += part.children
        if part.is_multipart and _subtype(part) != b"alternative":
            ids.update(id(child) for child in part.children[1:])
    return ids


def _is_html(part: Part) -> bool:
    return _subtype(part) == b"html"


def _subtype(part: Part) -> bytes:
    return part.subtype.lower()


def _is_attachment(part: Part) -> bool:
    disposition = content.disposition(part.header.first(b"content-disposition"))
    return disposition is not None and disposition.value.lower() == b"attachment"


def _has_name(part: Part) -> bool:
    """Tell whether a part bears a file name, which a sender's own text does not."""
    disposition = content.disposition(part.header.first(b"content-disposition"))
    has_filename = disposition is not None and disposition.parameter(b"filename") is not None
    return has_filename or (part.content is not None and part.content.parameter(b"name") is not None)
