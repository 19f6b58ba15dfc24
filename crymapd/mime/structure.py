"""BODY and BODYSTRUCTURE (RFC 9051 section 7.5.2), ready for the wire.

Rendered without recursion: mail may be nested a hundred deep.
"""

from __future__ import annotations

from crymapd.mime import content, wire
from crymapd.mime.envelope import envelope
from crymapd.mime.parts import Part

# The grammar wants at least one part in a multipart; this stands for a body that has none.
_NO_PART = b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0'


def structure(root: Part, *, extended: bool) -> bytes:
    """The structure of a message or part; `extended` gives BODYSTRUCTURE with every extension field."""
    done: dict[int, bytes] = {}
    stack = [(root, False)]
    while stack:
        part, visited = stack.pop()
        if not visited:
            stack.append((part, True))
            stack.extend((child, False) for child in part.children)
            continue
        children = [done.pop(id(child)) for child in part.children]
        render = _multipart if part.is_multipart else _single
        done[id(part)] = render(part, children, extended)
    return done[id(root)]


def _multipart(part: Part, children: list[bytes], extended: bool) -> bytes:
    empty = _NO_PART + (b" NIL NIL NIL NIL)" if extended else b")")
    out = b"(" + (b"".join(children) or empty) + b" " + wire.nstring(part.subtype)
    if extended:
        out += b" " + _parameters(part.content) + _common_extensions(part)
    return out + b")"


def _single(part: Part, children: list[bytes], extended: bool) -> bytes:
    header = part.header
    items = [
        wire.nstring(part.type),
        wire.nstring(part.subtype),
        _parameters(part.content) if part.content else _default_parameters(part),
        wire.nstring(header.first(b"content-id")),
        wire.text(header.first(b"content-description")),
        wire.nstring(part.encoding),
        b"%d" % (part.end - part.body),
    ]
    if part.is_message:
        inner = part.children[0] if part.children else Part(part.body)
        items += [envelope(inner.header), children[0] if children else structure(inner, extended=extended)]
    if part.is_message or part.type.lower() == b"text":
        items.append(b"%d" % part.lines)
    out = b"(" + b" ".join(items)
    if extended:
        out += b" " + wire.nstring(header.first(b"content-md5")) + _common_extensions(part)
    return out + b")"


def _default_parameters(part: Part) -> bytes:
    """RFC 2045 section 5.2: without Content-Type the body is US-ASCII text."""
    return b'("CHARSET" "US-ASCII")' if part.type.lower() == b"text" else b"NIL"


def _common_extensions(part: Part) -> bytes:
    """Disposition, language and location, which end both forms."""
    header = part.header
    disposition = content.valued(header.first(b"content-disposition"))
    shown = b"NIL"
    if disposition is not None:
        shown = b"(" + wire.nstring(disposition.value) + b" " + _parameters(disposition) + b")"
    languages = content.tokens_of(header.first(b"content-language"))
    language = b"NIL"
    if languages:
        language = wire.parenthesized([wire.nstring(token) for token in languages[:50]])
    return b" " + shown + b" " + language + b" " + wire.nstring(header.first(b"content-location"))


def _parameters(valued: content.Valued | None) -> bytes:
    if valued is None or not valued.parameters:
        return b"NIL"
    return wire.parenthesized([wire.nstring(item) for pair in valued.parameters for item in pair])
