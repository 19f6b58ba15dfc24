"""The values with which the store answers: rows for few messages, columns for many, and results of changes.

A mailbox of 100,000 messages must not become 100,000 objects.  So questions about many messages are answered in
columns: a list for each kind of value, all in the order of UIDs.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, compress
from operator import attrgetter, ne
from typing import Any, NamedTuple, TypeVar

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

    def chosen(self, which: Sequence[bool]) -> EntryColumns:
        """Return those entries for which `which` is true."""
        return EntryColumns(
            list(compress(self.uids, which)), list(compress(self.flagsets, which)), list(compress(self.modseqs, which))
        )

    def cut(self, part: slice) -> EntryColumns:
        """Return the entries at these positions."""
        return EntryColumns(self.uids[part], self.flagsets[part], self.modseqs[part])


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


def joined_entries(pages: Iterable[EntryColumns]) -> EntryColumns:
    """Join pages of entries into one."""
    uids: list[Uid] = []
    flagsets: list[FlagSetId] = []
    modseqs: list[ModSeq] = []
    for page in pages:
        uids += page.uids
        flagsets += page.flagsets
        modseqs += page.modseqs
    return EntryColumns(uids, flagsets, modseqs)


def stored_columns(rows: Sequence[tuple[Any, ...]]) -> StoredColumns:
    """Convert rows, whose values are in the order of `Stored`, to columns."""
    return StoredColumns(*zip(*rows, strict=True)) if rows else StoredColumns(*((),) * len(Stored._fields))


def stored_rows(columns: StoredColumns) -> Iterator[Stored]:
    """Convert columns to rows."""
    return map(make_stored, zip(*columns, strict=True))


make_stored: Callable[[Iterable[Any]], Stored] = partial(tuple.__new__, Stored)
"""`Stored._make` in half the time, because no function in Python is called."""


def portions(rows: Sequence[T], size: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Split rows into runs of at most 100 messages, with at most 1 MiB together unless one message is larger.

    It bounds memory, since what is made of a run is held at once.

    Args:
        rows: one for each message.
        size: returns how many octets the message of a row has.
    """
    at = 0
    while at < len(rows):
        run = rows[at : at + _MANY]
        octets = list(accumulate(map(size, run)))
        if octets[-1] > _PORTION:
            run = run[: bisect(octets, _PORTION) or 1]
        yield run
        at += len(run)


def column_portions(columns: StoredColumns) -> Iterator[StoredColumns]:
    """Split columns as `portions` splits rows; most often there is only one portion, which costs almost nothing."""
    if len(columns.uids) <= _MANY and sum(columns.sizes) <= _PORTION:
        yield columns
    else:
        yield from map(stored_columns, portions(list(stored_rows(columns)), attrgetter("size")))


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What STORE did to the messages that it did not refuse.

    Attributes:
        before: their entries as they were.
        flagsets: their flag sets as they are now, in the same order.
        modified: the UIDs of messages that were refused because of UNCHANGEDSINCE.
        modseq: the modseq of the change, 0 if nothing changed.
    """

    before: EntryColumns
    flagsets: Sequence[FlagSetId]
    modified: Sequence[Uid]
    modseq: ModSeq

    @property
    def changed(self) -> list[bool]:
        """Whether each message changed."""
        return list(map(ne, self.before.flagsets, self.flagsets))

    @property
    def entries(self) -> EntryColumns:
        """The entries as they are now."""
        changed_and_before = zip(self.changed, self.before.modseqs, strict=True)
        modseqs = [self.modseq if changed else before for changed, before in changed_and_before]
        return EntryColumns(self.before.uids, self.flagsets, modseqs)


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
