"""What the database tells of messages, by name: rows for a few, columns for many; and what changes answer.

A mailbox of 100,000 messages must not become 100,000 objects, so the questions that concern many messages are
answered in columns, each a list of one kind of value, all ascending by UID.
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
    """A message in a mailbox with everything that its row in `messages` says.

    Attributes:
        saved: SAVEDATE, seconds since 1970 UTC.
        size: octets of the message as it is served.
        received: INTERNALDATE, seconds since 1970 UTC.
        zone: its zone, minutes east of UTC.
        email_id: 16 octets.
        thread: 16 octets; None where the message was filed before there were threads.
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
    """Entries as columns; `modseqs` is empty where nobody asked for them."""

    uids: Sequence[Uid]
    flagsets: Sequence[FlagSetId]
    modseqs: Sequence[ModSeq]


class StoredColumns(NamedTuple):
    """Rows of Stored as columns."""

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
    """Where the octets of a message are.

    Attributes:
        file: the 32 octets of its name.
        body_key: opens its body; `sealed_file.UNKNOWN_KEY` where the sealed head could not be opened at filing.
        size: octets of the message as it is served.
        damaged: why a note stands in its place; None where it is whole.
    """

    file: bytes
    body_key: bytes
    size: int
    damaged: str | None


def entry_columns(entries: Sequence[Entry]) -> EntryColumns:
    """Entries as columns."""
    return EntryColumns(*zip(*entries, strict=True)) if entries else EntryColumns((), (), ())


def stored_columns(rows: Sequence[Stored]) -> StoredColumns:
    """Rows as columns."""
    return StoredColumns(*zip(*rows, strict=True)) if rows else StoredColumns(*((),) * len(Stored._fields))


def portions(rows: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Split into runs of at most a MiB of messages (or one message), since what is made of a run is held at once.

    Args:
        rows: one for each message.
        size: gives the octets of a row's message.
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
        changed: the UIDs of those that changed, under `modseq` (0 when none did).
        modified: those refused because of UNCHANGEDSINCE.
        before: the modseq that each message had, for those not refused.
    """

    entries: list[Entry] = field(default_factory=list)
    changed: set[Uid] = field(default_factory=set)
    modified: list[Uid] = field(default_factory=list)
    modseq: ModSeq = ModSeq(0)
    before: dict[Uid, ModSeq] = field(default_factory=dict)


class Added(NamedTuple):
    """New messages in a mailbox, as UIDPLUS tells them (RFC 4315)."""

    uidvalidity: int
    uids: list[Uid]


class Copied(NamedTuple):
    """What COPY and MOVE did: UIDVALIDITY of the target, UIDs in the source and, in the same order, in the target."""

    uidvalidity: int
    sources: list[Uid]
    uids: list[Uid]
