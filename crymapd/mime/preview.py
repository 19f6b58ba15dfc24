"""PREVIEW: the first words of a message (RFC 8970)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from crymapd.mime import content
from crymapd.mime.parts import Part
from crymapd.mime.text import ReadOctets, part_text

MAX_CHARACTERS = 200
"""RFC 8970 section 3.1: at most 256, 200 recommended."""
MAX_OCTETS = 64 * 1024
_UNSEEN = re.compile(r"<(style|script|head|title)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*+>?")
_LONG_REFERENCE = re.compile(r"&#[xX]?[0-9A-Fa-f]{8,};?")
"""No character has such a number, and Python refuses to read those of more than 4300 digits."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff\u034f\u00ad]+")


def preview(root: Part, read: ReadOctets) -> str:
    """At most 200 characters of the part that a reader would be shown first; empty where there is none."""
    for subtype, plain in ((b"plain", _as_it_is), (b"html", _without_tags)):
        part = next(_shown(root, subtype), None)
        if part is not None:
            text = plain(part_text(part, read, octets=MAX_OCTETS))
            return " ".join(_CONTROL.sub(" ", text).split())[:MAX_CHARACTERS].rstrip()
    return ""


def _shown(root: Part, subtype: bytes) -> Iterator[Part]:
    """Leaves of text/`subtype` that are no attachments."""
    stack = [root]
    while stack:
        part = stack.pop()
        if part.subtype.lower() == b"encrypted" and part.is_multipart:
            return
        stack.extend(reversed(part.children))
        if not part.children and (part.type.lower(), part.subtype.lower()) == (b"text", subtype):
            disposition = content.disposition(part.header.first(b"content-disposition"))
            if disposition is None or disposition.value.lower() != b"attachment":
                yield part


def _as_it_is(text: str) -> str:
    return text


def _without_tags(text: str) -> str:
    return html.unescape(_LONG_REFERENCE.sub(" ", _TAG.sub(" ", _UNSEEN.sub(" ", text))))
