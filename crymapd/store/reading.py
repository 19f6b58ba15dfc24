"""A message being read: its octets, its parts, what is made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from crymapd.crypto.secret import Secret
from crymapd.errors import Damaged, MessageUnavailable
from crymapd.mime.parts import Parser, Part
from crymapd.mime.summary import Summarizer, Summary, summarize
from crymapd.mime.text import Folded, folded
from crymapd.store.messages import Opened


class Message(ABC):
    """A message being read; its parts are found when they are asked for."""

    __slots__ = ("_root", "is_note", "size")

    def __init__(self, size: int, *, is_note: bool = False) -> None:
        """Something of `size` octets."""
        self._root: Part | None = None
        self.size = size
        self.is_note = is_note

    @abstractmethod
    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Octets from `start` to `end`."""

    @abstractmethod
    def octets(self, start: int = 0, end: int | None = None) -> bytes:
        """The same in one."""

    @abstractmethod
    def summary(self) -> Summary:
        """What the index keeps of it."""

    @abstractmethod
    def close(self) -> None:
        """It is not read any more."""

    def __enter__(self) -> Message:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def root(self) -> Part:
        if self._root is None:
            parser = Parser()
            for piece in self.pieces():
                parser.feed(piece)
            self._root = parser.close()
        return self._root

    def folded(self) -> Folded | None:
        """The texts that SEARCH looks into; None where they are too long to be held."""
        return folded(self.root, self.pieces)


class Whole(Message):
    """One that is small: its octets."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes, *, is_note: bool = False) -> None:
        super().__init__(len(octets), is_note=is_note)
        self._octets = octets

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        yield self._octets[start:end]

    def octets(self, start: int = 0, end: int | None = None) -> bytes:
        return self._octets[start:end]

    def summary(self) -> Summary:
        return summarize(self._octets)

    def close(self) -> None:
        pass  # nothing is open


class Streamed(Message):
    """A large one, never held: read again for every question. MessageUnavailable where it cannot be."""

    __slots__ = ("_body_key", "_failed", "_opened")

    def __init__(self, opened: Opened, body_key: Secret, size: int, failed: Callable[[Exception], None]) -> None:
        """`failed` hears why, where it cannot be read to its end; opened again, a damaged one is a note."""
        super().__init__(size)
        self._opened = opened
        self._body_key = body_key
        self._failed = failed

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        try:
            yield from self._opened.pieces(self._body_key, start, end)
        except (Damaged, OSError) as error:
            self._failed(error)
            raise MessageUnavailable(str(error)) from error

    def octets(self, start: int = 0, end: int | None = None) -> bytes:
        return b"".join(self.pieces(start, end))

    def summary(self) -> Summary:
        summarizer = Summarizer()
        for piece in self.pieces():
            summarizer.feed(piece)
        return summarizer.finish()

    def close(self) -> None:
        self._opened.close()
