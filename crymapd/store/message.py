"""A message that is being read: its octets, its parts, and what is made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from crymapd.crypto.secret import Secret
from crymapd.errors import Damaged, MessageUnavailable
from crymapd.mime.parts import Parser, Part
from crymapd.mime.text import SearchTexts, search_texts
from crymapd.store.sealed_file import Opened
from crymapd.store.summary import Prepare, Summarizer, Summary, summarize


class Message(ABC):
    """A context manager; the parts are found when they are asked for.

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
        """The octets from `start` to `end`, in pieces. Raises MessageUnavailable."""

    @abstractmethod
    def octets(self, start: int = 0, end: int | None = None) -> bytes:
        """The octets from `start` to `end`, joined. Raises MessageUnavailable."""

    @abstractmethod
    def summary(self, prepare: Prepare) -> Summary:
        """Make what the index keeps of it. Raises MessageUnavailable."""

    @abstractmethod
    def close(self) -> None:
        """Give back what reading it holds."""

    def __enter__(self) -> Message:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def root(self) -> Part:
        """The message as the first of its parts."""
        if self._root is None:
            parser = Parser()
            for piece in self.pieces():
                parser.feed(piece)
            self._root = parser.close()
        return self._root

    def search_texts(self) -> SearchTexts | None:
        """The texts that SEARCH looks into; None where they are too long to be held."""
        return search_texts(self.root, self.pieces)


class Whole(Message):
    """A small message, whose octets are held."""

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


class Streamed(Message):
    """A large message, which is never held but read again for every question."""

    __slots__ = ("_body_key", "_on_failure", "_opened")

    def __init__(self, opened: Opened, body_key: Secret, size: int, on_failure: Callable[[Exception], None]) -> None:
        """Begin to read it.

        Args:
            opened: its sealed file, closed with this message.
            body_key: opens the body.
            size: octets of the message.
            on_failure: told why it could not be read to its end, before MessageUnavailable is raised.
        """
        super().__init__(size)
        self._opened = opened
        self._body_key = body_key
        self._on_failure = on_failure

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        try:
            yield from self._opened.pieces(self._body_key, start, end)
        except (Damaged, OSError) as error:
            self._on_failure(error)
            raise MessageUnavailable(str(error)) from error

    def octets(self, start: int = 0, end: int | None = None) -> bytes:
        return b"".join(self.pieces(start, end))

    def summary(self, prepare: Prepare) -> Summary:
        summarizer = Summarizer()
        for piece in self.pieces():
            summarizer.feed(piece)
        self._root = summarizer.root
        return summarizer.finish_reading(prepare, self.pieces)

    def close(self) -> None:
        self._opened.close()
