"""Messages that a session brings in one step: sealed while they arrive, durable and visible at `commit`.

An APPEND of a thousand messages writes them all before it waits for the disk: `files.publish_together`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from crymapd import log
from crymapd.crypto.stream import Recipient, new_metadata
from crymapd.mime.references import references
from crymapd.mime.summary import Room, Summarizer
from crymapd.model.sequence import Range
from crymapd.store.entries import Entries, NewMessage
from crymapd.store.indexing import Indexing
from crymapd.store.layout import Layout
from crymapd.store.mailboxes import Mailboxes
from crymapd.store.messages import Sealing, place, publish
from crymapd.store.quota import Quota
from crymapd.unix import files

MAX_OPEN = 64
"""Files that are written and not yet made durable; after so many they are, though nobody sees them yet."""


class Incoming:
    """One APPEND in progress; a context manager that forgets what was not committed."""

    def __init__(
        self,
        layout: Layout,
        recipient: Callable[[], Recipient],
        limit: int,
        entries: Entries,
        mailboxes: Mailboxes,
        indexing: Indexing,
        quota: Quota,
    ) -> None:
        self._layout = layout
        self._recipient = recipient
        self._limit = limit
        self._entries = entries
        self._mailboxes = mailboxes
        self._indexing = indexing
        self._quota = quota
        self._arriving: tuple[Sealing, Summarizer, frozenset[str]] | None = None
        self._written: list[Sealing] = []
        self._messages: list[tuple[NewMessage, Summarizer | None]] = []
        self._room = Room()
        self._committed = False
        self.octets = 0
        """What the sealed files of the complete messages take on disk."""

    def __len__(self) -> int:
        """Complete messages."""
        return len(self._messages)

    def begin(self, mailbox: str, flags: frozenset[str], received: datetime | None) -> None:
        """A message comes."""
        moment = int(time.time()) if received is None else int(received.timestamp())
        offset = received.utcoffset() if received is not None else None
        zone = int(offset.total_seconds()) // 60 if offset is not None else 0
        metadata = new_metadata(moment, zone, mailbox)  # the row has the flags
        self._arriving = Sealing(self._layout, self._recipient(), metadata, self._limit), Summarizer(), flags

    @property
    def is_arriving(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._arriving is not None

    def write(self, data: bytes) -> None:
        """Raises TooBig."""
        if self._arriving is not None:
            sealing, summarizer, _flags = self._arriving
            sealing.write(data)
            summarizer.feed(data)

    def end(self) -> None:
        """The message is complete."""
        if self._arriving is None:
            return
        sealing, summarizer, flags = self._arriving
        self._arriving = None
        self._written.append(sealing)
        file = sealing.finish()
        metadata = sealing.metadata
        message = NewMessage(
            file,
            metadata.email_id,
            metadata.body_key,
            sealing.size,
            metadata.received,
            metadata.zone,
            flags,
            references=references(summarizer.close()),
            sealed=sealing.octets,
        )
        self._messages.append((message, self._room.keep(summarizer)))
        self.octets += sealing.octets
        if len(self._written) >= MAX_OPEN:
            self._publish()

    def _publish(self) -> None:
        publish(self._written, self._layout.tmp)
        self._written.clear()

    def commit(self, mailbox: str, replaced: tuple[int, Sequence[Range]] | None = None) -> tuple[int, list[int]]:
        """Add all (and remove those `replaced`) in one transaction: UIDVALIDITY and UIDs.

        Raises:
            NoSuchMailbox, MailboxFull, MessageGone, OverQuota.
        """
        room = 0 if replaced is None else self._entries.sealed_octets(*replaced)  # RFC 8508 section 3.4
        self._quota.check(self.octets - room)
        target = self._mailboxes.get(mailbox).id
        self._publish()
        done = self._entries.append(target, [message for message, _summarizer in self._messages], replaced=replaced)
        self._committed = True
        for message, summarizer in self._messages:
            number = self._entries.message_id(message.file)
            if number is not None:
                self._indexing.arrived(number, summarizer)
                self._place(number, message.file)
        return done

    def _place(self, number: int, file: bytes) -> None:
        """What cannot be moved now stays readable where it is, and the next login moves it."""
        try:
            if place(self._layout, file):
                self._entries.placed([number])
        except OSError as error:
            log.not_placed(file.hex(), str(error.strerror))

    def close(self) -> None:
        """Remove what was not committed."""
        if self._arriving is not None:
            self._written.append(self._arriving[0])
        with contextlib.ExitStack() as stack:
            for sealing in self._written:
                stack.push(sealing)
        if not self._committed:
            for message, _summarizer in self._messages:
                if self._entries.message_id(message.file) is None:
                    files.remove(self._layout.tmp / message.file.hex())

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
