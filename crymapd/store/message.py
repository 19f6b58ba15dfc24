"""A message that is being read: its octets, its MIME parts, its summary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from crymapd.crypto.secret import Secret
from crymapd.errors import Damaged, MessageUnavailable
from crymapd.mime.parts import Parser, Part
from crymapd.mime.text import SearchTexts, search_texts
from crymapd.store.sealed_file import OpenedFile
from crymapd.store.summary import Prepare, Summarizer, Summary, summarize


class Message(ABC):
    """A message, as a context manager that closes it. It is parsed when its parts are first asked for.

    Attributes:
        size: octets of the message.
        is_note: whether it is a note in the place of a message that cannot be read.
    """

    __slots__ = ("_root", "is_note", "size")

    def __init__(self, size: int, *, is_note: bool = False) -> None:
        self._root: Part | None = None
        self.size = size
        self.is_note = is_note

    @abstractmethod
    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the octets from `start` to `end`, in pieces. Raises MessageUnavailable."""

    @abstractmethod
    def octets(self, start: int = 0, end: int | None = None) -> bytes:
        """Return the octets from `start` to `end`. Raises MessageUnavailable."""

    @abstractmethod
    def summary(self, prepare: Prepare) -> Summary:
        """Make the summary that the index keeps. Raises MessageUnavailable."""

    @abstractmethod
    def close(self) -> None:
        """Close the file, if one is open."""

    def __enter__(self) -> Message:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def root(self) -> Part:
        """The message as a part: the root of the tree of its parts. Raises MessageUnavailable."""
        if self._root is None:
            parser = Parser()
            for piece in self.pieces():
                parser.feed(piece)
            self._root = parser.close()
        return self._root

    def search_texts(self) -> SearchTexts | None:
        """Make the search texts; None if they are too long to be held. Raises MessageUnavailable."""
        return search_texts(self.root, self.pieces)


class HeldMessage(Message):
    """A small message, whose octets are held in memory."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes, *, is_note: bool = False) -> None:
        super().__init__(len(octets), is_note=is_note)
        self._octets = octets

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        yield self._octets[start:end]

    def octets(self, start: int = 0, end: int | None = None) -> bytes:
        return self._octets[start:end]

    def summary(self, prepare: Prepare) -> Summary:
        return summarize(self._octets, prepare)

    def close(self) -> None:
        """Do nothing, as nothing is open."""


class _Cursor:
    """A position in a body that is being read: parts that are asked for in their order need only one pass."""

    __slots__ = ("_piece", "_pieces", "_reads", "position")

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""  # what was read beyond `position`
        self.position = 0
        self._reads = 0

    def read(self, start: int, end: int | None) -> Iterator[bytes]:
        """Yield the octets from `start`, which must not be before `position`, to `end`.

        Raises:
            RuntimeError: another `read` has moved the cursor meanwhile, so octets would be missing.
        """
        self._reads += 1
        this_read = self._reads
        while end is None or self.position < end:
            if not self._piece:
                self._piece = next(self._pieces, b"")
                if not self._piece:
                    return
            skipped = min(max(start - self.position, 0), len(self._piece))
            stop = len(self._piece) if end is None else min(end - self.position, len(self._piece))
            wanted = self._piece[skipped:stop]
            self.position += max(skipped, stop)
            self._piece = self._piece[max(skipped, stop) :]
            if wanted:
                yield wanted
                if self._reads != this_read:
                    raise RuntimeError("a message is read in two places at once")


class StreamedMessage(Message):
    """A large message, which is never held, and read from its start again only to go back in it."""

    __slots__ = ("_body_key", "_cursor", "_file", "_on_failure")

    def __init__(self, file: OpenedFile, body_key: Secret, size: int, on_failure: Callable[[Exception], None]) -> None:
        """Prepare to read a message.

        Args:
            file: its sealed file, which is closed together with the message.
            body_key: the key of its body.
            size: octets of the message.
            on_failure: called with the reason before MessageUnavailable is raised.
        """
        super().__init__(size)
        self._file = file
        self._body_key = body_key
        self._on_failure = on_failure
        self._cursor: _Cursor | None = None

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        try:
            yield from self._cursor_before(start).read(start, end)
        except (Damaged, OSError) as error:
            self._on_failure(error)
            raise MessageUnavailable(str(error)) from error

    def _cursor_before(self, start: int) -> _Cursor:
        """Return the cursor, or a new one if it has passed `start`; only the newest may read the file."""
        if self._cursor is None or self._cursor.position > start:
            self._cursor = _Cursor(self._file.pieces(self._body_key))
        return self._cursor

    def octets(self, start: int = 0, end: int | None = None) -> bytes:
        return b"".join(self.pieces(start, end))

    def summary(self, prepare: Prepare) -> Summary:
        summarizer = Summarizer()
        for piece in self.pieces():
            summarizer.feed(piece)
        self._root = summarizer.root
        return summarizer.finish_reading(prepare, self.pieces)

    def close(self) -> None:
        self._file.close()
