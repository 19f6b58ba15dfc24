"""Filling `index.db` in the time that clients leave: answers and texts of messages.

Nobody waits for it: what a client asks for before it is ready is made then.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import TypeVar

from crymapd import log
from crymapd.errors import CrymapError, MessageGone, MessageUnavailable
from crymapd.mime.summary import Room, Summarizer, Summary
from crymapd.mime.text import Folded
from crymapd.store.entries import Entries
from crymapd.store.index import MAX_KEPT_TEXT, Index
from crymapd.store.reading import Message
from crymapd.unix import files

_SLICE = 1000
_AT_ONCE = 64
MAX_FRESH = 4 << 20
"""Characters of texts that are remembered until there is time to index them; others are read again."""

T = TypeVar("T")


class Indexing:
    """From messages to the index."""

    def __init__(
        self, index: Index, entries: Entries, lock: Path, read: Callable[[int], AbstractContextManager[Message]]
    ) -> None:
        self._index = index
        self._entries = entries
        self._lock = lock
        self._read = read
        self._new: dict[int, Summarizer] = {}
        self._room = Room()
        self._fresh: list[tuple[int, Folded]] = []
        self._fresh_size = 0
        self.behind = True
        """Whether there may be messages that are not indexed."""

    # What need not be read again

    def arrived(self, number: int, summarizer: Summarizer | None) -> None:
        """A new message, whose octets have just passed by."""
        summarizer = self._room.keep(summarizer)
        if summarizer is not None:
            self._new[number] = summarizer
        self.behind = True

    def heard(self, number: int, texts: Folded) -> None:
        """The texts of a message that had to be read for them."""
        if texts.size > MAX_KEPT_TEXT and self._index.indexed([number]):
            return  # its words are there, and it will be read again each time
        if self._fresh_size + texts.size <= MAX_FRESH:
            self._fresh.append((number, texts))
            self._fresh_size += texts.size
        self.behind = True

    def summary(self, number: int) -> tuple[Summary, bool]:
        """That of a message the index does not have, and whether it is of a note in its place.

        Raises:
            MessageGone, MessageUnavailable.
        """
        if number in self._new:
            summary = self._finished(number)
            if summary.texts is not None:
                self.heard(number, summary.texts)
            return summary, False
        with self._read(number) as message:
            return message.summary(), message.is_note

    def _finished(self, number: int) -> Summary:
        summarizer = self._new.pop(number)
        self._room.free(summarizer)
        return summarizer.finish()

    def forget(self, numbers: Collection[int], *, purged: bool) -> None:
        """Drop what is known of messages, or was about to be; see `Index.forget`."""
        for number in numbers:
            if number in self._new:
                self._room.free(self._new.pop(number))
        fresh = [(number, texts) for number, texts in self._taken() if number not in numbers]
        for number, texts in fresh:
            self.heard(number, texts)
        self._index.forget(numbers, purged=purged)

    # In the time clients leave

    def catch_up(self, seconds: float) -> None:
        """Index for about so long; `behind` says whether there is more. One session at a time reads for all."""
        deadline = time.monotonic() + seconds
        self._finish_new(deadline)
        self._index.put_texts(self._sound(self._taken()))
        with ExitStack() as stack:
            mine = False
            try:
                mine = stack.enter_context(files.locked(self._lock, wait=0))
            except OSError as error:
                self._index.not_used(str(error))
            if mine:
                self._catch_up(deadline)
            else:
                self.behind = bool(self._new)

    def _finish_new(self, deadline: float) -> None:
        done: list[tuple[int, Summary]] = []
        for number in list(self._new):
            summary = _unless_mistaken(number, self._finished)
            if summary is not None:
                done.append((number, summary))
            if time.monotonic() > deadline or len(done) == _AT_ONCE:
                break
        done = self._sound(done)
        self._index.put(done)
        self._index.put_texts((number, summary.texts) for number, summary in done if summary.texts is not None)

    def _sound(self, known: list[tuple[int, T]]) -> list[tuple[int, T]]:
        """Of what is known of messages, that of those which nobody has found damaged since."""
        files_now = self._entries.sealed_files(number for number, _known in known)
        return [(number, what) for number, what in known if number in files_now and files_now[number][3] is None]

    def _taken(self) -> list[tuple[int, Folded]]:
        fresh, self._fresh, self._fresh_size = self._fresh, [], 0
        return fresh

    def _catch_up(self, deadline: float) -> None:
        """Where the index cannot be written (a full disk), searches read; it is tried again with the next mail."""
        while time.monotonic() < deadline and not self._new:
            incarnation = self._index.incarnation()
            numbers = self._entries.messages_after(self._index.complete(), _SLICE)
            missing = sorted(set(numbers) - self._index.indexed(numbers))
            looked_at = self._index_some(missing, deadline)
            if looked_at is None:
                self.behind = False
                return
            read, unreadable = looked_at
            left = next((number for number in missing if number not in read and number not in unreadable), None)
            done = [number for number in numbers if left is None or number < left]
            if done and not self._index.set_complete(done[-1], unreadable, incarnation):
                self.behind = False
                return
            if self._index.incarnation() != incarnation:
                continue  # emptied meanwhile: from the beginning
            if left is None and len(numbers) < _SLICE:
                self.behind = False
                return

    def _index_some(self, numbers: Sequence[int], deadline: float) -> tuple[set[int], set[int]] | None:
        """As many messages as there is time and room for: those indexed, and those that cannot be.

        None where the index could not be written.
        """
        summaries: list[tuple[int, Summary]] = []
        texts: dict[int, Folded] = {}
        unreadable: set[int] = set()
        size = 0
        for number in numbers[:_AT_ONCE]:
            made = _unless_mistaken(number, self._made)
            if made is not None:
                summaries.append((number, made[0]))
            if made is None or made[1] is None:
                unreadable.add(number)
            else:
                texts[number] = made[1]
                size += made[1].size
            if time.monotonic() > deadline or size > MAX_FRESH:
                break
        written = self._index.put(summaries) and self._index.put_texts(texts.items())
        return (set(texts), unreadable) if written else None

    def _made(self, number: int) -> tuple[Summary, Folded | None] | None:
        """Summary and texts (None where they are too long) of a message; None where it cannot be read."""
        with suppress(MessageGone, MessageUnavailable), self._read(number) as message:
            if not message.is_note:
                summary = message.summary()
                return summary, summary.texts or message.folded()
        return None

    def unindexed(self) -> set[int]:
        """Messages of which the index does not know what they hold."""
        unindexed = self._index.unindexed()
        waiting = self._entries.messages_after(0 if unindexed is None else self._index.complete())
        return (unindexed or set()) | (set(waiting) - self._index.indexed(waiting))


def _unless_mistaken(number: int, make: Callable[[int], T | None]) -> T | None:
    """What is made of a message; where that ends in a bug, a line in the log: nobody has asked for it."""
    try:
        return make(number)
    except (CrymapError, OSError):
        raise
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        log.not_indexed(number, f"{type(error).__name__} in {at.name}, {os.path.basename(at.filename)}:{at.lineno}")
        return None
