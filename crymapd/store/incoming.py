"""Messages that a session brings in with one command. They are sealed while they arrive, and visible after `commit`.

An APPEND of many messages does not wait for the disk after each of them: `files.publish_together`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from crymapd import log
from crymapd.crypto.stream import Recipient, new_metadata
from crymapd.errors import CrymapError
from crymapd.mime.references import references
from crymapd.model.numbers import MailboxId, MessageId, Uid
from crymapd.model.sequence import Range
from crymapd.store.entries import Entries, NewMessage
from crymapd.store.filing import Arrived
from crymapd.store.layout import Layout
from crymapd.store.mailboxes import Mailboxes
from crymapd.store.quota import Quota
from crymapd.store.rows import Added
from crymapd.store.sealed_file import Sealing, local_zone, place, publish, staging
from crymapd.store.summary import Room, Summarizer
from crymapd.unix import files

MAX_OPEN = 64
"""How many files may be written and not yet synced; so many are synced together, though nobody sees them yet."""


@dataclass(slots=True)
class _Arriving:
    """The message whose octets are arriving."""

    sealing: Sealing
    summarizer: Summarizer
    flags: frozenset[str]


class Incoming:
    """The messages of one command: a context manager, which removes them unless they were committed."""

    def __init__(
        self,
        layout: Layout,
        recipient: Callable[[], Recipient],
        limit: int,
        entries: Entries,
        mailboxes: Mailboxes,
        quota: Quota,
        arrived: Arrived,
    ) -> None:
        self._layout = layout
        self._recipient = recipient
        self._limit = limit
        self._entries = entries
        self._mailboxes = mailboxes
        self._quota = quota
        self._arrived = arrived
        self._arriving: _Arriving | None = None
        self._written: list[Sealing] = []
        self._messages: list[tuple[NewMessage, Summarizer | None]] = []
        self._room = Room()
        self._committed = False
        self._staging: contextlib.ExitStack | None = None
        self.octets = 0
        """How many octets the sealed files of the complete messages take."""

    def __len__(self) -> int:
        """Return the number of complete messages."""
        return len(self._messages)

    def begin(self, mailbox: str, flags: frozenset[str], received: datetime | None) -> None:
        """Begin a message for a mailbox; without a date, it counts as received now."""
        if self._staging is None:
            self._staging = contextlib.ExitStack()
            self._staging.enter_context(staging(self._layout))
        moment = int(time.time()) if received is None else int(received.timestamp())
        offset = received.utcoffset() if received is not None else None
        zone = int(offset.total_seconds()) // 60 if offset is not None else local_zone(moment)
        metadata = new_metadata(moment, zone, mailbox)  # without flags, which its entry gets at `commit`
        sealing = Sealing(self._layout, self._recipient(), metadata, self._limit)
        self._arriving = _Arriving(sealing, Summarizer(), flags)

    @property
    def is_arriving(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._arriving is not None

    def write(self, data: bytes) -> None:
        """Take the next octets of the message. Raises TooBig."""
        if self._arriving is not None:
            self._arriving.sealing.write(data)
            self._arriving.summarizer.feed(data)

    def end(self) -> None:
        """End the message."""
        if self._arriving is None:
            return
        arriving, self._arriving = self._arriving, None
        sealing, summarizer = arriving.sealing, arriving.summarizer
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
            arriving.flags,
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

    def commit(self, mailbox: str, replaced: tuple[MailboxId, Sequence[Range[Uid]]] | None = None) -> Added:
        """Add all complete messages and expunge those that are `replaced`, in one transaction.

        Args:
            mailbox: the name of the mailbox to add them to.
            replaced: (mailbox, UIDs) of the messages to expunge (RFC 8508).

        Raises:
            NoSuchMailbox, MailboxFull, MessageGone, OverQuota.
        """
        freed = 0 if replaced is None else self._entries.sealed_octets(*replaced)  # RFC 8508 section 3.4
        self._quota.check(self.octets - freed)
        target = self._mailboxes.get(mailbox).id
        self._publish()
        added = self._entries.append(target, [message for message, _summarizer in self._messages], replaced=replaced)
        self._committed = True
        try:
            self._settle()
        except (CrymapError, OSError) as error:
            log.not_settled(str(error))
        return added

    def _settle(self) -> None:
        """Announce the committed messages for indexing and place their files; otherwise the next login does so."""
        for message, summarizer in self._messages:
            message_id = self._entries.message_id(message.file)
            if message_id is not None:
                self._arrived(message_id, summarizer)
                self._place(message_id, message.file)

    def _place(self, message: MessageId, file: bytes) -> None:
        """Place a file. One that cannot be moved now stays readable where it is, and the next login moves it."""
        try:
            if place(self._layout, file):
                self._entries.placed([message])
        except OSError as error:
            log.not_placed(file.hex(), str(error.strerror))

    def close(self) -> None:
        """Remove what was not committed."""
        if self._arriving is not None:
            self._written.append(self._arriving.sealing)
        with contextlib.ExitStack() as stack:
            if self._staging is not None:
                stack.push(self._staging)
            for sealing in self._written:
                stack.push(sealing)
        if not self._committed:
            # If the database cannot be asked whether a row was committed, the files stay, and the next login decides.
            with contextlib.suppress(CrymapError, OSError):
                for message, _summarizer in self._messages:
                    if self._entries.message_id(message.file) is None:
                        files.remove(self._layout.tmp / message.file.hex())

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
