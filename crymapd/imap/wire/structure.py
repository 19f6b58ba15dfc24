"""BODY and BODYSTRUCTURE (RFC 9051 section 7.5.2), ready for the wire.

Rendered without recursion: mail may be nested a hundred deep.
"""

from __future__ import annotations

from crymapd.imap.wire.envelope import envelope
from crymapd.imap.wire.strings import ASCII, Strings, parenthesized
from crymapd.mime import content
from crymapd.mime.parts import Part

# The grammar wants at least one part in a multipart; this stands for a body that has none.
_NO_PART = b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0'


def structure(root: Part, *, extended: bool, out: Strings = ASCII) -> bytes:
    """The structure of a message or part; `extended` gives BODYSTRUCTURE with every extension field."""
    renderer = _Renderer(out, extended=extended)
    done: dict[int, bytes] = {}
    stack = [(root, False)]
    while stack:
        part, visited = stack.pop()
        if not visited:
            stack.append((part, True))
            stack.extend((child, False) for child in part.children)
            continue
        children = [done.pop(id(child)) for child in part.children]
        done[id(part)] = renderer.part(part, children)
    return done[id(root)]


class _Renderer:
    """One part at a time, its children already done."""

    def __init__(self, out: Strings, *, extended: bool) -> None:
        self._out = out
        self._extended = extended

    def part(self, part: Part, children: list[bytes]) -> bytes:
        return self._multipart(part, children) if part.is_multipart else self._single(part, children)

    def _multipart(self, part: Part, children: list[bytes]) -> bytes:
        empty = _NO_PART + (b" NIL NIL NIL NIL)" if self._extended else b")")
        shown = b"(" + (b"".join(children) or empty) + b" " + self._out.nstring(part.subtype)
        if self._extended:
            shown += b" " + self._parameters(part.content) + self._common_extensions(part)
        return shown + b")"

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
        shown = b"(" + b" ".join(items)
        if self._extended:
            shown += b" " + out.nstring(header.first(b"content-md5")) + self._common_extensions(part)
        return shown + b")"

    def _common_extensions(self, part: Part) -> bytes:
        """Disposition, language and location, which end both forms."""
        header, out = part.header, self._out
        disposition = content.disposition(header.first(b"content-disposition"))
        shown = b"NIL"
        if disposition is not None:
            shown = b"(" + out.nstring(disposition.value) + b" " + self._parameters(disposition) + b")"
        languages = content.tokens_of(header.first(b"content-language"))
        language = b"NIL"
        if languages:
            language = parenthesized([out.nstring(token) for token in languages[:50]])
        return b" " + shown + b" " + language + b" " + out.nstring(header.first(b"content-location"))

    def _parameters(self, valued: content.Valued | None) -> bytes:
        if valued is None or not valued.parameters:
            return b"NIL"
        return parenthesized([self._out.parameter(*pair) for pair in valued.parameters])


def _default_parameters(part: Part) -> bytes:
    """RFC 2045 section 5.2: without Content-Type the body is US-ASCII text."""
    return b'("CHARSET" "US-ASCII")' if part.type.lower() == b"text" else b"NIL"
