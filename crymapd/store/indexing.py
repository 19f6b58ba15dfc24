"""Filling `index.db` in the time that clients leave: the answers and texts of messages.

Nobody waits for it: what a client asks for before it is ready is made then.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from crymapd import log
from crymapd.errors import CrymapError, MessageGone, MessageUnavailable
from crymapd.mime.text import SearchTexts
from crymapd.model.numbers import MessageId
from crymapd.store.entries import Entries
from crymapd.store.index import MAX_KEPT_TEXT, Index
from crymapd.store.reader import MessageReader
from crymapd.store.summary import Prepare, Room, Summarizer, Summary
from crymapd.unix import files

_SLICE = 1000
_AT_ONCE = 64
MAX_FRESH = 4 << 20
"""Characters of texts that are remembered until there is time to index them; others are read again."""

T = TypeVar("T")


class _Made(NamedTuple):
    """What was made of a message: its summary, and its texts (None where they are too long)."""

    summary: Summary
    texts: SearchTexts | None


class _Batch(NamedTuple):
    """Which messages of a batch were indexed, and which cannot be."""

    indexed: set[MessageId]
    unreadable: set[MessageId]


class Indexing:
    """What goes from the messages of one account into its index."""

    def __init__(self, index: Index, entries: Entries, lock: Path, reader: MessageReader, prepare: Prepare) -> None:
        """Begin with nothing remembered.

        Args:
            index: what is filled.
            entries: which messages there are.
            lock: a file; one session at a time reads old messages for all.
            reader: opens messages.
            prepare: makes a protocol's answers.
        """
        self._index = index
        self._entries = entries
        self._lock = lock
        self._reader = reader
        self._prepare = prepare
        self._new: dict[MessageId, Summarizer] = {}
        self._room = Room()
        self._fresh: list[tuple[MessageId, SearchTexts]] = []
        self._fresh_size = 0
        self.behind = True
        """Whether there may be messages that are not indexed."""

    # What need not be read again

    def arrived(self, message: MessageId, summarizer: Summarizer | None) -> None:
        """Remember a new message whose octets have just passed by."""
        summarizer = self._room.keep(summarizer)
        if summarizer is not None:
            self._new[message] = summarizer
        self.behind = True

    def remember_texts(self, message: MessageId, texts: SearchTexts) -> None:
        """Remember the texts of a message that had to be read for them."""
        if texts.size > MAX_KEPT_TEXT and self._index.indexed([message]):
            return  # its words are there, and it will be read again each time
        if self._fresh_size + texts.size <= MAX_FRESH:
            self._fresh.append((message, texts))
            self._fresh_size += texts.size
        self.behind = True

    def make_summary(self, message: MessageId) -> tuple[Summary, bool]:
        """Make the summary of a message that the index does not have; and whether it is that of a note in its place.

        Raises:
            MessageGone, MessageUnavailable.
        """
        summary, is_note = self._finished(message) if message in self._new else None, False
        if summary is None:
            with self._reader.read(message) as opened:
                summary, is_note = opened.summary(self._prepare), opened.is_note
        if summary.texts is not None and not is_note:
            self.remember_texts(message, summary.texts)
        return summary, is_note

    def _finished(self, message: MessageId) -> Summary | None:
        """Make the summary of a new message; None where it must be read again for that."""
        summarizer = self._new.pop(message)
        self._room.free(summarizer)
        return summarizer.finish(self._prepare)

    # In the time clients leave

    def catch_up(self, seconds: float) -> None:
        """Index for about so long; `behind` says afterwards whether there is more."""
        deadline = time.monotonic() + seconds
        self._finish_new(deadline)
        self._index.put_texts(self._sound(self._take_fresh()))
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
        done: list[tuple[MessageId, Summary]] = []
        for message in list(self._new):
            summary = _unless_mistaken(message, self._finished)
            if summary is not None:
                done.append((message, summary))
            if time.monotonic() > deadline or len(done) == _AT_ONCE:
                break
        done = self._sound(done)
        self._index.put(done)
        self._index.put_texts((message, summary.texts) for message, summary in done if summary.texts is not None)

    def _sound(self, made: list[tuple[MessageId, T]]) -> list[tuple[MessageId, T]]:
        """Leave out what was made of messages that somebody has found damaged since."""
        where = self._entries.sealed_files(message for message, _made in made)
        damaged = self._reader.unsound | {message for message, file in where.items() if file.damaged is not None}
        return [(message, thing) for message, thing in made if message in where and message not in damaged]

    def _take_fresh(self) -> list[tuple[MessageId, SearchTexts]]:
        fresh, self._fresh, self._fresh_size = self._fresh, [], 0
        return fresh

    def _catch_up(self, deadline: float) -> None:
        """Go on where the index ends; where it cannot be written (a full disk), try again with the next mail."""
        while time.monotonic() < deadline and not self._new:
            incarnation = self._index.incarnation()
            messages = self._entries.messages_after(self._index.complete(), _SLICE)
            missing = sorted(set(messages) - self._index.indexed(messages))
            batch = self._index_some(missing, deadline)
            if batch is None:
                self.behind = False
                return
            left = next((m for m in missing if m not in batch.indexed and m not in batch.unreadable), None)
            done = [message for message in messages if left is None or message < left]
            if done and not self._index.set_complete(done[-1], batch.unreadable, incarnation):
                self.behind = False
                return
            if self._index.incarnation() != incarnation:
                continue  # emptied meanwhile: from the beginning
            if left is None and len(messages) < _SLICE:
                self.behind = False
                return

    def _index_some(self, messages: Sequence[MessageId], deadline: float) -> _Batch | None:
        """Index as many messages as there is time and room for; None where the index could not be written."""
        summaries: list[tuple[MessageId, Summary]] = []
        texts: dict[MessageId, SearchTexts] = {}
        unreadable: set[MessageId] = set()
        size = 0
        for message in messages[:_AT_ONCE]:
            made = _unless_mistaken(message, self._made)
            if made is not None:
                summaries.append((message, made.summary))
            if made is None or made.texts is None:
                unreadable.add(message)
            else:
                texts[message] = made.texts
                size += made.texts.size
            if time.monotonic() > deadline or size > MAX_FRESH:
                break
        written = self._index.put(summaries) and self._index.put_texts(texts.items())
        return _Batch(set(texts), unreadable) if written else None

    def _made(self, message: MessageId) -> _Made | None:
        """Read a message; None where it cannot be read."""
        with suppress(MessageGone, MessageUnavailable), self._reader.read(message) as opened:
            if not opened.is_note:
                summary = opened.summary(self._prepare)
                return _Made(summary, summary.texts)
        return None

    def unindexed(self) -> set[MessageId]:
        """The messages of which the index does not know what they hold."""
        unindexed = self._index.unindexed()
        waiting = self._entries.messages_after(MessageId(0) if unindexed is None else self._index.complete())
        return (unindexed or set()) | (set(waiting) - self._index.indexed(waiting))


def _unless_mistaken(message: MessageId, make: Callable[[MessageId], T | None]) -> T | None:
    """Make something of a message; where that shows a bug of ours, log it: nobody has asked for this message now."""
    try:
        return make(message)
    except (CrymapError, OSError):
        raise
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        log.not_indexed(message, f"{type(error).__name__} in {at.name}, {os.path.basename(at.filename)}:{at.lineno}")
        return None
