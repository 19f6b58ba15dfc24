"""What is kept of a message for quick answers, made while its octets pass by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crymapd.mime.envelope import envelope
from crymapd.mime.header import Header, field_selector
from crymapd.mime.parts import MAX_HEADER, Parser, Part
from crymapd.mime.preview import preview
from crymapd.mime.structure import structure
from crymapd.mime.text import Folded, folded
from crymapd.mime.wire import ASCII, UTF8, Wire

MAX_SEARCHED = 1 << 18
"""Larger messages are read again for their texts; the preview is made of what lies before this."""

MAX_HELD = 8 << 20
_OVERHEAD = 4_000
_PART = 1_200

COMMON_FIELDS = frozenset(
    (
        b"from",
        b"to",
        b"cc",
        b"bcc",
        b"subject",
        b"date",
        b"message-id",
        b"priority",
        b"x-priority",
        b"references",
        b"newsgroups",
        b"in-reply-to",
        b"content-type",
        b"reply-to",
    )
)
"""What Thunderbird asks of every message: kept ready for the wire."""
_common_fields = field_selector(tuple(sorted(COMMON_FIELDS)))


@dataclass(frozen=True, slots=True)
class Rendered:
    """ENVELOPE, BODY and BODYSTRUCTURE as they go over the wire."""

    envelope: bytes
    body: bytes
    structure: bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """The top-level header block, the answers for clients without and with UTF-8, the preview, the texts.

    `texts` is None for a message that is too long to be held.
    """

    header: bytes
    ascii: Rendered
    utf8: Rendered
    preview: str
    texts: Folded | None

    @property
    def fields(self) -> bytes | None:
        """COMMON_FIELDS of the header; None where the header was too long to be kept."""
        return _common_fields(self.header) if len(self.header) < MAX_HEADER else None

    def rendered(self, names: Sequence[str], *, utf8: bool) -> tuple[bytes | None, ...]:
        """Values of `envelope`, `body`, `structure`, `preview`, `fields` by their names."""
        shown = self.utf8 if utf8 else self.ascii
        everything = {
            "envelope": shown.envelope,
            "body": shown.body,
            "structure": shown.structure,
            "preview": self.preview.encode(),
            "fields": self.fields,
        }
        return tuple(everything[name] for name in names)


class Summarizer:
    """Feed it the message, `close` it; `finish` gives the summary, when there is time for it."""

    def __init__(self) -> None:
        self._parser = Parser()
        self._beginning = bytearray()
        self._root: Part | None = None
        self.size = 0

    def feed(self, data: bytes) -> None:
        self._parser.feed(data)
        self._beginning += data[: MAX_SEARCHED - len(self._beginning)]
        self.size += len(data)

    def close(self) -> Header:
        """The message is complete: its top-level header."""
        if self._root is None:
            self._root = self._parser.close()
        return self._root.header

    @property
    def held(self) -> int:
        """Octets of memory that a closed one holds, about."""
        parts = () if self._root is None else walk(self._root)
        return _OVERHEAD + len(self._beginning) + sum(_PART + 2 * len(part.header.raw) for part in parts)

    def finish(self) -> Summary:
        self.close()
        assert self._root is not None
        root = self._root
        plain = _render(root, ASCII)
        utf8 = plain if _is_ascii(root) else _render(root, UTF8)
        texts = folded(root, self._read) if self.size <= MAX_SEARCHED else None
        return Summary(root.header.raw, plain, utf8, preview(root, self._read), texts)

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        yield bytes(self._beginning[start:end])


def _render(root: Part, out: Wire) -> Rendered:
    return Rendered(
        envelope(root.header, out), structure(root, extended=False, out=out), structure(root, extended=True, out=out)
    )


def _is_ascii(root: Part) -> bool:
    """Whether no header block of any part holds anything else."""
    return all(part.header.raw.isascii() for part in walk(root))


def walk(root: Part) -> Iterator[Part]:
    """Every part."""
    stack = [root]
    while stack:
        part = stack.pop()
        yield part
        stack.extend(part.children)


class Room:
    """Memory for messages whose summaries wait to be made; what there is no room for is read again."""

    def __init__(self) -> None:
        self._left = MAX_HELD

    def keep(self, summarizer: Summarizer | None) -> Summarizer | None:
        if summarizer is None or summarizer.held > self._left:
            return None
        self._left -= summarizer.held
        return summarizer

    def free(self, summarizer: Summarizer) -> None:
        self._left += summarizer.held


def summarize(message: bytes) -> Summary:
    """The summary of a whole message."""
    summarizer = Summarizer()
    summarizer.feed(message)
    return summarizer.finish()
