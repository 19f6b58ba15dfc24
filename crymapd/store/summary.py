"""The summary of a message: what the index keeps, so that most questions can be answered without opening it.

It is gathered while the octets of the message arrive or are read.  The store does not know how a protocol writes its
answers.  A `Prepare` function, which the protocol provides, makes them from the MIME parts of the message, and the
store keeps them without looking into them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from crymapd.mime.header import Header
from crymapd.mime.parts import Parser, Part, walk
from crymapd.mime.preview import Previewer, preview, wanted_octets
from crymapd.mime.text import (
    ReadOctets,
    SearchTexts,
    can_be_held,
    joined_texts,
    part_text,
    passage,
    search_form,
    text_parts,
)

MAX_SEARCHED = 1 << 18
"""How many octets of a message are held. A larger one is read again for its preview and its texts."""

MAX_HELD = 8 << 20
"""Octets of memory that the summarizers in one `Room` may take."""
_OVERHEAD = 4_000
_PART = 1_200


@dataclass(frozen=True, slots=True)
class Prepared:
    """A protocol's prepared answers about one message, as it sends them.

    Attributes:
        envelope, body, structure: for a client that takes ASCII only.
        envelope8, body8, structure8: for a client that takes UTF-8; None if there is no difference.
        fields: the header fields that clients ask for most often; None if the header is too long.
    """

    envelope: bytes
    body: bytes
    structure: bytes
    envelope8: bytes | None
    body8: bytes | None
    structure8: bytes | None
    fields: bytes | None


Prepare = Callable[[Part], Prepared]
"""Makes the prepared answers from the root part of a message."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the index keeps of one message.

    Attributes:
        header: the top-level header block with its empty line.
        prepared: the protocol's prepared answers.
        preview: the first words of the text.
        texts: the search texts; None if the message is too long for them to be made on the way.
    """

    header: bytes
    prepared: Prepared
    preview: str
    texts: SearchTexts | None

    def answers(self, names: Sequence[str], *, utf8: bool) -> tuple[bytes | None, ...]:
        """Return the answers with these names (from `index.ANSWERS`), in the order of the names."""
        return tuple(self._answer(name, utf8=utf8) for name in names)

    def _answer(self, name: str, *, utf8: bool) -> bytes | None:
        if name == "preview":
            return self.preview.encode()
        answer: bytes | None = getattr(self.prepared, f"{name}8", None) if utf8 else None
        if answer is None:
            answer = getattr(self.prepared, name)
        return answer


class Summarizer:
    """Gathers a summary: `feed` it the message, `close` it, and let it `finish` the summary when there is time."""

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
        """About how many octets of memory a closed summarizer takes."""
        parts = () if self._root is None else walk(self._root)
        return _OVERHEAD + len(self._beginning) + sum(_PART + 2 * len(part.header.raw) for part in parts)

    def finish(self, prepare: Prepare) -> Summary | None:
        """Make the summary of what was held; None where that is too little, and the message must be read again."""
        if self.size <= MAX_SEARCHED:
            return self.finish_reading(prepare, self._read)
        root = self._closed()
        preview = self._preview_of_beginning(root)
        return None if preview is None else Summary(root.header.block, prepare(root), preview, None)

    def finish_reading(self, prepare: Prepare, read: ReadOctets) -> Summary:
        """Make the summary with all texts, reading the message once more, as far as it has any."""
        root = self._closed()
        preview, texts = _preview_and_texts(root, read)
        return Summary(root.header.block, prepare(root), preview, texts)

    @property
    def root(self) -> Part:
        """The message as the first of its parts, once it was closed or finished."""
        return self._closed()

    def _preview_of_beginning(self, root: Part) -> str | None:
        previewer = Previewer(root)
        for part in previewer.parts():
            if previewer.preview is None and part.body < MAX_SEARCHED:
                text = part_text(part, self._read, octets=wanted_octets(part))
                previewer.take(part, text, is_whole=part.end <= MAX_SEARCHED)
        return previewer.preview

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        yield bytes(self._beginning[start:end])


def _preview_and_texts(root: Part, read: ReadOctets) -> tuple[str, SearchTexts | None]:
    """What is made of a message's texts, in one pass over them; no search texts where they are too long to be held."""
    if not can_be_held(root):
        return preview(root, read), None
    previewer = Previewer(root)
    previewed = {id(part) for part in previewer.parts()}
    parts = text_parts(root)
    octets = passage(parts, read).octets
    bodies: list[str] = []
    for part in parts:
        text = part_text(part, octets)
        bodies.append(search_form(text))
        if id(part) in previewed:
            previewer.take(part, text)
    return previewer.preview or "", joined_texts(root, iter(bodies))


def summarize(message: bytes, prepare: Prepare) -> Summary:
    """Make the summary of a message of which all octets are at hand."""
    summarizer = Summarizer()
    summarizer.feed(message)
    return summarizer.finish_reading(prepare, lambda start, end: iter((message[start:end],)))


class Room:
    """Bounds the memory of closed summarizers that wait to be finished; messages beyond it are read again later."""

    def __init__(self) -> None:
        self._left = MAX_HELD

    def keep(self, summarizer: Summarizer | None) -> Summarizer | None:
        """Return the summarizer if there is room for it, and None otherwise."""
        if summarizer is None or summarizer.held > self._left:
            return None
        self._left -= summarizer.held
        return summarizer

    def free(self, summarizer: Summarizer) -> None:
        """Free the room that a summarizer has taken."""
        self._left += summarizer.held
