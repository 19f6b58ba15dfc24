"""BODY and BODYSTRUCTURE (RFC 9051 section 7.5.2), ready for the wire.

Nothing here recurses over all levels, because parts may be nested a hundred deep.
"""

from __future__ import annotations

from crymapd.imap.wire.envelope import envelope
from crymapd.imap.wire.strings import ASCII, Strings, parenthesized
from crymapd.mime import content
from crymapd.mime.parts import Part

# The grammar wants at least one part in a multipart; this is written for a multipart that has none.
_NO_PART = b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0'


def structure(root: Part, *, extended: bool, out: Strings = ASCII) -> bytes:
    """Write the structure of a message or part: BODYSTRUCTURE with all extension fields if `extended`, else BODY."""
    renderer = _Renderer(out, extended=extended)
    written: dict[int, bytes] = {}
    stack = [(root, False)]
    while stack:
        part, visited = stack.pop()
        if not visited:
            stack.append((part, True))
            stack.extend((child, False) for child in part.children)
            continue
        children = [written.pop(id(child)) for child in part.children]
        written[id(part)] = renderer.part(part, children)
    return written[id(root)]


class _Renderer:
    """Writes one part at a time, given its children as they have been written."""

    def __init__(self, out: Strings, *, extended: bool) -> None:
        self._out = out
        self._extended = extended

    def part(self, part: Part, children: list[bytes]) -> bytes:
        return self._multipart(part, children) if part.is_multipart else self._single(part, children)

    def _multipart(self, part: Part, children: list[bytes]) -> bytes:
        empty = _NO_PART + (b" NIL NIL NIL NIL)" if self._extended else b")")
        text = b"(" + (b"".join(children) or empty) + b" " + self._out.nstring(part.subtype)
        if self._extended:
            text += b" " + self._parameters(part.content) + self._common_extensions(part)
        return text + b")"

    def _single(self, part: Part, children: list[bytes]) -> bytes:
        header, out = part.header, self._out
        items = [
            out.nstring(part.type),
            out.nstring(part.subtype),
            self._parameters(part.content) if part.content else _default_parameters(part),
            out.nstring(header.first(b"content-id")),
            out.text(header.first(b"content-description")),
            out.nstring(part.encoding),
            b"%d" % (part.end - part.body),
        ]
        if part.is_message:
            inner = part.children[0] if part.children else Part(part.body)
            items += [envelope(inner.header, out), children[0] if children else self.part(inner, [])]
        if part.is_message or part.type.lower() == b"text":
            items.append(b"%d" % part.lines)
        text = b"(" + b" ".join(items)
        if self._extended:
            text += b" " + out.nstring(header.first(b"content-md5")) + self._common_extensions(part)
        return text + b")"

    def _common_extensions(self, part: Part) -> bytes:
        """Write disposition, language and location, which end the extension fields of every part."""
        header, out = part.header, self._out
        parsed = content.disposition(header.first(b"content-disposition"))
        disposition = b"NIL"
        if parsed is not None:
            disposition = b"(" + out.nstring(parsed.value) + b" " + self._parameters(parsed) + b")"
        languages = content.tokens_of(header.first(b"content-language"))
        language = b"NIL"
        if languages:
            language = parenthesized([out.nstring(token) for token in languages[:50]])
        return b" " + disposition + b" " + language + b" " + out.nstring(header.first(b"content-location"))

    def _parameters(self, valued: content.Valued | None) -> bytes:
        if valued is None or not valued.parameters:
            return b"NIL"
        return parenthesized([self._out.parameter(*pair) for pair in valued.parameters])


def _default_parameters(part: Part) -> bytes:
    """Write the parameters of a part without Content-Type, which is US-ASCII text (RFC 2045 section 5.2)."""
    return b'("CHARSET" "US-ASCII")' if part.type.lower() == b"text" else b"NIL"
