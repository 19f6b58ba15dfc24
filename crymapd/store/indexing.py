"""Filling `index.db` for SEARCH in the time that clients leave; one session at a time does it for all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from crymapd.errors import MessageGone, MessageUnavailable
from crymapd.mime.summary import Summary
from crymapd.mime.text import Folded
from crymapd.store.entries import Entries
from crymapd.store.index import Index
from crymapd.store.reading import Message
from crymapd.unix import files

_SLICE = 1000
_AT_ONCE = 64
MAX_FRESH = 4 << 20
"""Characters of texts that are remembered until there is time to index them; others are read again."""


class Indexing:
    """What SEARCH looks into, from the messages to the index."""

    def __init__(
        self, index: Index, entries: Entries, lock: Path, read: Callable[[int], AbstractContextManager[Message]]
    ) -> None:
        self._index = index
        self._entries = entries
        self._lock = lock
        self._read = read
        self._fresh: list[tuple[int, Folded]] = []
        self._fresh_size = 0
        self.behind = True
        """Whether there may be messages that SEARCH would have to read."""

    def heard(self, number: int, texts: Folded) -> None:
        """The texts of a message that is not indexed have just been read; they need not be read again."""
        if self._fresh_size + texts.size <= MAX_FRESH:
            self._fresh.append((number, texts))
            self._fresh_size += texts.size
        self.behind = True

    def summarized(self, summaries: Sequence[tuple[int, Summary]]) -> None:
        """New messages: their answers are kept now, their texts when the client leaves time for it."""
        self._index.put(summaries)
        for number, summary in summaries:
            if summary.texts is not None:
                self.heard(number, summary.texts)
        self.behind = True

    def catch_up(self, seconds: float) -> None:
        """Index for about so long; `behind` says whether there is more."""
        with files.locked(self._lock, wait=False) as mine:
            if mine:
                self._catch_up(time.monotonic() + seconds)
            else:
                self._taken()
                self.behind = False

    def unindexed(self) -> set[int]:
        """Messages of which the index does not know what they hold."""
        waiting = self._entries.messages_after(self._index.complete())
        return self._index.unindexed() | (set(waiting) - self._index.indexed(waiting))

    def _taken(self) -> list[tuple[int, Folded]]:
        fresh, self._fresh, self._fresh_size = self._fresh, [], 0
        return fresh

    def _catch_up(self, deadline: float) -> None:
        self._index.put_texts(self._taken())
        while time.monotonic() < deadline:
            generation = self._index.generation
            numbers = self._entries.messages_after(self._index.complete(), _SLICE)
            missing = sorted(set(numbers) - self._index.indexed(numbers))
            read, unreadable = self._texts_of(missing, deadline)
            self._index.put_texts(read.items())
            left = next((number for number in missing if number not in read and number not in unreadable), None)
            done = [number for number in numbers if left is None or number < left]
            if done:
                self._index.set_complete(done[-1], unreadable, generation)
            if left is None and len(numbers) < _SLICE:
                self.behind = False
                return

    def _texts_of(self, numbers: Sequence[int], deadline: float) -> tuple[dict[int, Folded], list[int]]:
        """The texts of as many messages as there is time and room for, and those without: notes and long ones."""
        found: dict[int, Folded] = {}
        unreadable: list[int] = []
        size = 0
        for number in numbers[:_AT_ONCE]:
            texts = None
            with contextlib.suppress(MessageGone, MessageUnavailable), self._read(number) as message:
                texts = None if message.is_note else message.folded()
            if texts is None:
                unreadable.append(number)
            else:
                found[number] = texts
                size += texts.size
            if time.monotonic() > deadline or size > MAX_FRESH:
                break
        return found, unreadable
