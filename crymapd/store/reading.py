"""A message being read: its octets, its parts, what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from crymapd.errors import Damaged, MessageUnavailable
from crymapd.mime.parts import Parser, Part
from crymapd.mime.summary import Summarizer, Summary, summarize
from crymapd.mime.text import Folded, folded

Pieces = Callable[[int, "int | None"], Iterator[bytes]]


class Message:
    """A message being read: whole when small, in pieces when large; its parts when asked for."""

    def __init__(
        self,
        pieces: Pieces,
        size: int,
        condemn: Callable[[str], None],
        file: BinaryIO | None = None,
        *,
        is_note: bool = False,
    ) -> None:
        """Something of `size` octets; `condemn` hears why, where it turns out damaged while it is read."""
        self._file = file
        self._pieces = pieces
        self._condemn = condemn
        self._whole: bytes | None = None
        self._root: Part | None = None
        self.size = size
        self.is_note = is_note

    def load(self) -> None:
        """Read all of it now, so that damage shows before anything is sent."""
        self._whole = b"".join(self._pieces(0, None))
        self.size = len(self._whole)
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Message:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Octets from `start` to `end`. Raises MessageUnavailable where it is damaged; opened again, it is a note."""
        if self._whole is not None:
            yield self._whole[start:end]
            return
        try:
            yield from self._pieces(start, end)
        except Damaged as error:
            self._condemn(str(error))
            raise MessageUnavailable(str(error)) from error

    def octets(self, start: int = 0, end: int | None = None) -> bytes:
        if self._whole is not None:
            return self._whole[start:end]
        return b"".join(self.pieces(start, end))

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

    def summary(self) -> Summary:
        if self._whole is not None:
            return summarize(self._whole)
        summarizer = Summarizer()
        for piece in self.pieces():
            summarizer.feed(piece)
        return summarizer.finish()
