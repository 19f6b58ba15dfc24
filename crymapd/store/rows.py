"""The values with which the store answers: rows for few messages, columns for many, and results of changes.

A mailbox of 100,000 messages must not become 100,000 objects.  So questions about many messages are answered in
columns: a list for each kind of value, all in the order of UIDs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from crymapd.model.changes import Entry
from crymapd.model.numbers import FlagSetId, MessageId, ModSeq, Uid

T = TypeVar("T")
_PORTION = 1 << 20
_MANY = 100


class Stored(NamedTuple):
    """A message in a mailbox, with what its row in `messages` says.

    Attributes:
        saved: SAVEDATE, seconds since 1970 UTC.
        size: octets of the message, or of the note in its place.
        received: INTERNALDATE, seconds since 1970 UTC.
        zone: the time zone of INTERNALDATE, minutes east of UTC.
        email_id: EMAILID, 16 octets.
        thread: THREADID, 16 octets; None if the message was filed by a version that had no threads.
    """

    uid: Uid
    flagset: FlagSetId
    modseq: ModSeq
    saved: int
    message: MessageId
    size: int
    received: int
    zone: int
    email_id: bytes
    thread: bytes | None


class EntryColumns(NamedTuple):
    """Entries as columns; `modseqs` is empty if nobody asked for it."""

    uids: Sequence[Uid]
    flagsets: Sequence[FlagSetId]
    modseqs: Sequence[ModSeq]


class StoredColumns(NamedTuple):
    """Rows of `Stored` as columns."""

    uids: Sequence[Uid]
    flagsets: Sequence[FlagSetId]
    modseqs: Sequence[ModSeq]
    saved: Sequence[int]
    messages: Sequence[MessageId]
    sizes: Sequence[int]
    received: Sequence[int]
    zones: Sequence[int]
    email_ids: Sequence[bytes]
    threads: Sequence[bytes | None]


class SealedFile(NamedTuple):
    """What the row of a message says of its sealed file.

    Attributes:
        file: the 32 octets of its name.
        body_key: the key of its body; `sealed_file.UNKNOWN_KEY` if its head could not be opened at filing.
        size: octets of the message, or of the note in its place.
        damaged: why a note stands in its place; None if it is whole.
    """

    file: bytes
    body_key: bytes
    size: int
    damaged: str | None


def entry_columns(entries: Sequence[Entry]) -> EntryColumns:
    """Convert entries to columns."""
    return EntryColumns(*zip(*entries, strict=True)) if entries else EntryColumns((), (), ())


def stored_columns(rows: Sequence[Stored]) -> StoredColumns:
    """Convert rows to columns."""
    return StoredColumns(*zip(*rows, strict=True)) if rows else StoredColumns(*((),) * len(Stored._fields))


def portions(rows: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Split rows into runs of at most 100 messages, with at most 1 MiB together unless one message is larger.

    It bounds memory, since what is made of a run is held at once.

    Args:
        rows: one for each message.
        size: returns how many octets the message of a row has.
    """
    run: list[T] = []
    octets = 0
    for row in rows:
        octets += size(row)
        if run and (octets > _PORTION or len(run) == _MANY):
            yield run
            run, octets = [], size(row)
        run.append(row)
    if run:
        yield run


@dataclass(slots=True)
class StoreResult:
    """What STORE did.

    Attributes:
        entries: every addressed message that was not refused, changed or not, as it is now.
        changed: the UIDs of messages that changed.
        modified: the UIDs of messages that were refused because of UNCHANGEDSINCE.
        modseq: the modseq of the change, 0 if nothing changed.
        before: the former modseq of each message that was not refused.
    """

    entries: list[Entry] = field(default_factory=list)
    changed: set[Uid] = field(default_factory=set)
    modified: list[Uid] = field(default_factory=list)
    modseq: ModSeq = ModSeq(0)
    before: dict[Uid, ModSeq] = field(default_factory=dict)


class Added(NamedTuple):
    """UIDVALIDITY and UIDs of new messages in a mailbox, as APPENDUID has them (RFC 4315)."""

    uidvalidity: int
    uids: list[Uid]


class Copied(NamedTuple):
    """What COPY or MOVE did, as COPYUID has it (RFC 4315).

    Attributes:
        uidvalidity: UIDVALIDITY of the target mailbox.
        sources: UIDs in the source mailbox.
        uids: UIDs in the target mailbox, in the same order.
    """

    uidvalidity: int
    sources: list[Uid]
    uids: list[Uid]
