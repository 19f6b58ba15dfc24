"""Filling the index, `index.db`, while no client asks for anything.

A client never has to wait until it is complete: whatever is asked for and missing is made then.
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
from crymapd.model.numbers import MailboxId, MessageId
from crymapd.store.entries import Entries
from crymapd.store.index import MAX_KEPT_TEXT, Index
from crymapd.store.reader import MessageReader
from crymapd.store.summary import Prepare, Room, Summarizer, Summary
from crymapd.unix import files

_SLICE = 1000
_BATCH = 64
MAX_REMEMBERED = 4 << 20
"""Characters of search texts that are remembered until there is time to index them; messages beyond are read again."""

T = TypeVar("T")


class _Extract(NamedTuple):
    """What was made of a message: its summary, and its search texts (None if they are too long)."""

    summary: Summary
    texts: SearchTexts | None


class _Batch(NamedTuple):
    """Which messages of a batch were indexed, and which could not be read."""

    indexed: set[MessageId]
    unreadable: set[MessageId]


class Indexing:
    """Fills the index of one account."""

    def __init__(self, index: Index, entries: Entries, lock: Path, reader: MessageReader, prepare: Prepare) -> None:
        """Begin with nothing remembered.

        Args:
            index: the index to fill.
            entries: knows which messages there are.
            lock: a lock file; the session that holds it reads old messages, on behalf of all.
            reader: opens messages.
            prepare: makes a protocol's prepared answers.
        """
        self._index = index
        self._entries = entries
        self._lock = lock
        self._reader = reader
        self._prepare = prepare
        self._new: dict[MessageId, Summarizer] = {}
        self._room = Room()
        self._texts: list[tuple[MessageId, SearchTexts]] = []
        self._texts_size = 0
        self.behind = True
        """Whether there may be messages that are not indexed."""

    # Remembering what need not be read again

    def arrived(self, message: MessageId, summarizer: Summarizer | None) -> None:
        """Remember what was gathered of a new message while its octets were read."""
        summarizer = self._room.keep(summarizer)
        if summarizer is not None:
            self._new[message] = summarizer
        self.behind = True

    def remember_texts(self, message: MessageId, texts: SearchTexts) -> None:
        """Remember the search texts of a message that had to be read for them."""
        if texts.size > MAX_KEPT_TEXT and self._index.indexed([message]):
            return  # its trigrams are there already, and its texts are too long to be kept
        if self._texts_size + texts.size <= MAX_REMEMBERED:
            self._texts.append((message, texts))
            self._texts_size += texts.size
        self.behind = True

    def make_summary(self, message: MessageId) -> tuple[Summary, bool]:
        """Make the summary of a message, and say whether it is that of a note in the message's place.

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

    # Working while clients are quiet

    def catch_up(self, seconds: float) -> None:
        """Index for about so many seconds; `behind` says afterwards whether there is more to do."""
        deadline = time.monotonic() + seconds
        self._finish_new(deadline)
        self.keep_texts()
        with ExitStack() as stack:
            has_lock = False
            try:
                has_lock = stack.enter_context(files.locked(self._lock, wait=0))
            except OSError as error:
                self._index.not_used(str(error))
            if has_lock:
                self._catch_up(deadline)
            else:
                self.behind = bool(self._new)

    def _finish_new(self, deadline: float) -> None:
        """Index new messages whose octets were gathered when they came in."""
        summaries: list[tuple[MessageId, Summary]] = []
        for message in list(self._new):
            summary = _make_or_log(message, self._finished)
            if summary is not None:
                summaries.append((message, summary))
            if time.monotonic() > deadline or len(summaries) == _BATCH:
                break
        summaries = self._without_damaged(summaries)
        self._index.put(summaries)
        self._index.put_texts((message, summary.texts) for message, summary in summaries if summary.texts is not None)

    def _without_damaged(self, products: list[tuple[MessageId, T]]) -> list[tuple[MessageId, T]]:
        """Leave out what was made of messages that have been found damaged since, or are gone."""
        sealed_files = self._entries.sealed_files(message for message, _product in products)
        damaged = self._reader.unsound | {message for message, file in sealed_files.items() if file.damaged is not None}
        return [
            (message, product) for message, product in products if message in sealed_files and message not in damaged
        ]

    def _take_texts(self) -> list[tuple[MessageId, SearchTexts]]:
        texts, self._texts, self._texts_size = self._texts, [], 0
        return texts

    def _catch_up(self, deadline: float) -> None:
        """Continue where the index ends. If it cannot be written (a full disk), stop until the next mail comes."""
        while time.monotonic() < deadline and not self._new:
            incarnation = self._index.incarnation()
            messages = self._entries.messages_after(self._index.complete(), _SLICE)
            missing = sorted(set(messages) - self._index.indexed(messages))
            batch = self._index_batch(missing, deadline)
            if batch is None:
                self.behind = False
                return
            first_left = next((m for m in missing if m not in batch.indexed and m not in batch.unreadable), None)
            completed = [message for message in messages if first_left is None or message < first_left]
            if completed and not self._index.set_complete(completed[-1], batch.unreadable, incarnation):
                self.behind = False
                return
            if self._index.incarnation() != incarnation:
                continue  # the index was emptied meanwhile, so begin again
            if first_left is None and len(messages) < _SLICE:
                self.behind = False
                return

    def _index_batch(self, messages: Sequence[MessageId], deadline: float) -> _Batch | None:
        """Index as many messages as there is time and room for; None if the index could not be written."""
        summaries: list[tuple[MessageId, Summary]] = []
        texts: dict[MessageId, SearchTexts] = {}
        unreadable: set[MessageId] = set()
        size = 0
        for message in messages[:_BATCH]:
            extract = _make_or_log(message, self._make)
            if extract is not None:
                summaries.append((message, extract.summary))
            if extract is None or extract.texts is None:
                unreadable.add(message)
            else:
                texts[message] = extract.texts
                size += extract.texts.size
            if time.monotonic() > deadline or size > MAX_REMEMBERED:
                break
        written = self._index.put(summaries) and self._index.put_texts(texts.items())
        return _Batch(set(texts), unreadable) if written else None

    def _make(self, message: MessageId) -> _Extract | None:
        """Read a message and make its summary and texts; None if it cannot be read."""
        with suppress(MessageGone, MessageUnavailable), self._reader.read(message) as opened:
            if not opened.is_note:
                summary = opened.summary(self._prepare)
                return _Extract(summary, summary.texts)
        return None

    def keep_texts(self) -> None:
        """Put the texts into the index that were remembered by `remember_texts`."""
        self._index.put_texts(self._without_damaged(self._take_texts()))

    def unindexed(self, mailbox: MailboxId | None = None) -> set[MessageId]:
        """Return the messages of a mailbox, or of the account, that are not indexed: a search must read them.

        Some messages of other mailboxes may be among them.
        """
        unindexed = self._index.unindexed()
        complete = MessageId(0) if unindexed is None else self._index.complete()
        if mailbox is None:
            later = self._entries.messages_after(complete)
        else:
            later = self._entries.messages_in(mailbox, complete)
        return (unindexed or set()) | (set(later) - self._index.indexed(later))


def _make_or_log(message: MessageId, make: Callable[[MessageId], T | None]) -> T | None:
    """Make something of a message; log a bug instead of raising it, since no client has asked for this message."""
    try:
        return make(message)
    except (CrymapError, OSError):
        raise
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        log.not_indexed(message, f"{type(error).__name__} in {at.name}, {os.path.basename(at.filename)}:{at.lineno}")
        return None
