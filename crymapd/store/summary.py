"""What the index keeps of a message so that most questions need not open it, made while its octets pass by.

The store does not know how a protocol writes its answers: a `Prepare` function, given by whoever speaks the
protocol, makes them of the message's parts, and the store keeps what it made without looking into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from crymapd.mime.header import Header
from crymapd.mime.parts import Parser, Part, walk
from crymapd.mime.preview import preview
from crymapd.mime.text import SearchTexts, search_texts

MAX_SEARCHED = 1 << 18
"""Octets; larger messages are read again for their texts, and previewed from what lies before this."""

MAX_HELD = 8 << 20
_OVERHEAD = 4_000
_PART = 1_200


@dataclass(frozen=True, slots=True)
class Prepared:
    """A protocol's answers about one message, as it will send them.

    Attributes:
        envelope, body, structure: for a client that takes ASCII only.
        envelope8, body8, structure8: the same for one that takes UTF-8; None where there is no difference.
        fields: the header fields that clients ask for most often; None where the header is too long.
    """

    envelope: bytes
    body: bytes
    structure: bytes
    envelope8: bytes | None
    body8: bytes | None
    structure8: bytes | None
    fields: bytes | None


Prepare = Callable[[Part], Prepared]
"""Makes the answers for a message."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is kept of one message.

    Attributes:
        header: the top-level header block with its empty line.
        prepared: the protocol's answers.
        preview: the first words of the text.
        texts: what SEARCH looks into; None for a message that is too long to be held.
    """

    header: bytes
    prepared: Prepared
    preview: str
    texts: SearchTexts | None

    def answers(self, names: Sequence[str], *, utf8: bool) -> tuple[bytes | None, ...]:
        """The answers with these names (see `index.ANSWERS`), in their order."""
        return tuple(self._answer(name, utf8=utf8) for name in names)

    def _answer(self, name: str, *, utf8: bool) -> bytes | None:
        if name == "preview":
            return self.preview.encode()
        answer: bytes | None = getattr(self.prepared, f"{name}8", None) if utf8 else None
        if answer is None:
            answer = getattr(self.prepared, name)
        return answer


class Summarizer:
    """Feed it the message, `close` it; `finish` makes the summary when there is time for it."""

    def __init__(self) -> None:
        self._parser = Parser()
        self._beginning = bytearray()
        self._root: Part | None = None
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take the next octets of the message."""
        self._parser.feed(data)
        self._beginning += data[: MAX_SEARCHED - len(self._beginning)]
        self.size += len(data)

    def close(self) -> Header:
        """End the message and return its top-level header."""
        return self._closed().header

    def _closed(self) -> Part:
        if self._root is None:
            self._root = self._parser.close()
        return self._root

    @property
    def held(self) -> int:
        """How many octets of memory a closed summarizer takes, approximately."""
        parts = () if self._root is None else walk(self._root)
        return _OVERHEAD + len(self._beginning) + sum(_PART + 2 * len(part.header.raw) for part in parts)

    def finish(self, prepare: Prepare) -> Summary:
        """Make the summary."""
        root = self._closed()
        texts = search_texts(root, self._read) if self.size <= MAX_SEARCHED else None
        return Summary(root.header.block, prepare(root), preview(root, self._read), texts)

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        yield bytes(self._beginning[start:end])


def summarize(message: bytes, prepare: Prepare) -> Summary:
    """Make the summary of a message that is at hand whole."""
    summarizer = Summarizer()
    summarizer.feed(message)
    return summarizer.finish(prepare)


class Room:
    """A bound on the memory of messages whose summaries wait to be made; those beyond it are read again later."""

    def __init__(self) -> None:
        self._left = MAX_HELD

    def keep(self, summarizer: Summarizer | None) -> Summarizer | None:
        """Return the summarizer if there is room for it, and None if not."""
        if summarizer is None or summarizer.held > self._left:
            return None
        self._left -= summarizer.held
        return summarizer

    def free(self, summarizer: Summarizer) -> None:
        """Give back the room of one that was kept."""
        self._left += summarizer.held
