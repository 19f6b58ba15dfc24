"""The view that a session has of its selected mailbox: which messages it counts, and what it can do with them.

The UIDs of 100,000 messages are one array of 400 kB, which is loaded only when a sequence number is first used.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from crymapd.model.changes import Changes, Entry
from crymapd.model.flags import SEEN, SYSTEM_FLAGS, StoreMode
from crymapd.model.numbers import MAX_UID, NO_SEQNUM, MailboxId, ModSeq, SeqNum, Uid
from crymapd.model.search import SearchKey
from crymapd.model.sequence import Range, intersection, merge, ranges_of
from crymapd.store.entries import Entries
from crymapd.store.flagsets import FlagSets
from crymapd.store.mailboxes import Mailbox, Mailboxes, Recent
from crymapd.store.rows import (
    Copied,
    EntryColumns,
    StoredColumns,
    StoreResult,
    column_portions,
    entry_columns,
    stored_columns,
    stored_rows,
)
from crymapd.store.searching import EntryHits, RowHits, Scope, Searcher

_SPARSE = 8  # if fewer than one in so many UIDs of a span is asked for, each is looked up by itself
_BATCH = 100
EVERYTHING: tuple[Range[Uid], ...] = ((Uid(1), MAX_UID),)


@dataclass(slots=True)
class Told:
    """How far a session has been told.

    Attributes:
        modseq: flags and new messages up to this modseq have been told.
        expunged: expunges up to this modseq have been told.
        next_uid: messages with smaller UIDs have been told.
    """

    modseq: ModSeq
    expunged: ModSeq
    next_uid: Uid


@dataclass(frozen=True, slots=True)
class Tools:
    """The components of the store that a view works with."""

    entries: Entries
    mailboxes: Mailboxes
    flagsets: FlagSets
    search: Searcher


class View:
    """One selected mailbox.

    Attributes:
        mailbox: the row of the mailbox as it was when it was selected.
        read_only: whether it was selected with EXAMINE.
        told: how far the session has been told.
        exists: how many messages the session counts.
        first_unseen: the number of the first message without \\Seen at SELECT; None if there is none, or unknown.
    """

    def __init__(
        self, tools: Tools, mailbox: Mailbox, recent: Recent, first_unseen: SeqNum | None, *, read_only: bool
    ) -> None:
        self.mailbox = mailbox
        self.read_only = read_only
        self.told = Told(mailbox.modseq, mailbox.modseq, mailbox.next_uid)
        self.exists = mailbox.messages
        self.first_unseen = first_unseen
        self._entries = tools.entries
        self._mailboxes = tools.mailboxes
        self._flagsets = tools.flagsets
        self._search = tools.search
        self._recent: list[Range[Uid]] = []
        if recent.first < mailbox.next_uid:
            self._recent.append((recent.first, Uid(mailbox.next_uid - 1)))
        self._recent_count = recent.messages  # used until the UIDs are loaded
        self._uids: array[int] | None = None

    # Sequence numbers and UIDs

    @property
    def uids(self) -> Sequence[Uid]:
        """The UIDs that this session counts, ascending; a sequence number is the position plus one."""
        return cast(Sequence[Uid], self._loaded())

    def _loaded(self) -> array[int]:
        if self._uids is None:
            self._uids = self._entries.uids(self.mailbox.id, self.told.next_uid, self.told.expunged)
            self.exists = len(self._uids)
        return self._uids

    def count_exactly(self) -> None:
        """Load the UIDs, so that what other sessions do no longer changes what this one counts."""
        self._loaded()

    @property
    def last_uid(self) -> Uid:
        """The largest UID that this session counts; 0 if it counts none."""
        return self.uids[-1] if self.exists and self.uids else Uid(0)

    def seq(self, uid: Uid) -> SeqNum | None:
        """Return the sequence number of a UID; None if this session does not count it."""
        at = bisect_left(self.uids, uid)
        return SeqNum(at + 1) if at < len(self.uids) and self.uids[at] == uid else None

    def numbers(self, uids: Sequence[Uid]) -> Sequence[SeqNum]:
        """Return the sequence numbers of ascending UIDs, 0 for each that this session does not count.

        It is fast for many UIDs, above all if they are adjacent in the mailbox.
        """
        if not uids:
            return ()
        counted = self._loaded()
        low, high = bisect_left(counted, uids[0]), bisect_right(counted, uids[-1])
        if counted[low : low + len(uids)] == array("I", uids):
            return cast(Sequence[SeqNum], range(low + 1, low + 1 + len(uids)))
        if high - low > _SPARSE * len(uids):
            return [self.seq(uid) or NO_SEQNUM for uid in uids]
        numbers = dict(zip(counted[low:high], range(low + 1, high + 1), strict=True))
        return cast(list[SeqNum], [numbers.get(uid, 0) for uid in uids])

    def uid_ranges(self, seq_ranges: Iterable[Range[SeqNum]]) -> list[Range[Uid]]:
        """Return UID ranges that contain, of the messages counted here, exactly those with these sequence numbers."""
        uids = self.uids
        within = ((low, min(high, len(uids))) for low, high in seq_ranges if low <= len(uids))
        return merge((uids[low - 1], uids[high - 1]) for low, high in within)

    def known(self, uid_ranges: Iterable[Range[Uid]]) -> list[Uid]:
        """Return the UIDs in these ranges that this session counts."""
        counted = self._loaded()
        uids: list[int] = []
        for low, high in uid_ranges:
            uids.extend(counted[bisect_left(counted, low) : bisect_right(counted, high)])
        return cast(list[Uid], uids)

    # \Recent

    def claim_arrivals(self, next_uid: Uid) -> None:
        """Make the new messages with UIDs below `next_uid` \\Recent here, unless another session was told of them."""
        if self.read_only:
            return
        recent = self._mailboxes.claim_recent(self.mailbox.id, next_uid)
        if recent.first < next_uid:
            self._recent = merge([*self._recent, (recent.first, Uid(next_uid - 1))])
            self._recent_count += recent.messages

    def forget_recent(self) -> None:
        """Let nothing be \\Recent any more, as the client has enabled IMAP4rev2, which has no \\Recent."""
        self._recent = []
        self._recent_count = 0

    @property
    def recent_ranges(self) -> list[Range[Uid]]:
        """The UIDs of the messages that are \\Recent here."""
        return self._recent

    @property
    def recent(self) -> int:
        """How many messages are \\Recent here; UIDs are not loaded to count them."""
        if self._uids is None:
            return self._recent_count
        return sum(bisect_right(self._uids, high) - bisect_left(self._uids, low) for low, high in self._recent)

    # Being told

    def add(self, uids: Sequence[Uid]) -> None:
        """Count new messages from now on, as they are announced to the client."""
        if self._uids is not None:
            self._uids.extend(uids)
        self.exists += len(uids)

    def remove(self, uids: Sequence[Uid]) -> list[tuple[SeqNum, Uid]]:
        """Stop counting messages, as their expunges are announced to the client.

        Returns:
            (sequence number, UID) of each, the highest first: so each number is still right when it is sent.
        """
        removed = []
        counted = self._loaded()
        for uid in reversed(uids):
            at = bisect_left(counted, uid)
            if at < len(counted) and counted[at] == uid:
                del counted[at]
                removed.append((SeqNum(at + 1), uid))
        self.exists = len(counted)
        return removed

    # Asking

    def current(self) -> Mailbox | None:
        """Return the mailbox as it is now; None if it was deleted."""
        return self._mailboxes.by_id(self.mailbox.id)

    def changes(self, own_modseqs: Collection[ModSeq]) -> Changes:
        """Return what has happened since the session was told, except flag changes at its own modseqs."""
        told = self.told
        return self._entries.changes(self.mailbox.id, told.modseq, told.expunged, own_modseqs, told.next_uid)

    def changed_since(self, modseq: int) -> list[Entry]:
        """Return the entries that were there at SELECT and have changed after a modseq, ascending by UID."""
        changes = self._entries.changes(self.mailbox.id, ModSeq(modseq), self.mailbox.modseq)
        return [entry for entry in changes.changed if entry.uid < self.mailbox.next_uid]

    def vanished(self, since: int, within: Sequence[Range[Uid]]) -> list[Range[Uid]]:
        """Return the UIDs that were expunged after a modseq, as the mailbox is now (RFC 7162 section 3.2.5.2)."""
        mailbox = self.current()
        return [] if mailbox is None else self._entries.vanished(mailbox, since, within)

    def vanished_at_select(self, since: int, within: Sequence[Range[Uid]]) -> list[Range[Uid]]:
        """Return the UIDs that were expunged after a modseq, as the mailbox was when it was selected."""
        return self._entries.vanished(self.mailbox, since, within)

    def ranks(self, uids: Sequence[Uid]) -> dict[Uid, SeqNum]:
        """Return the sequence numbers of ascending UIDs as the mailbox is now, without loading all UIDs."""
        return self._entries.ranks(self.mailbox.id, uids)

    def entry_pages(
        self, ranges: Sequence[Range[Uid]], since: int = 0, *, modseqs: bool = True
    ) -> Iterator[EntryColumns]:
        """Yield the entries that have changed after a modseq, including those that other sessions have expunged."""
        yield from self._entries.entry_pages(self.mailbox.id, ranges, since, modseqs=modseqs)
        yield from self._expunged_entries(ranges, since)

    def _expunged_entries(self, ranges: Sequence[Range[Uid]], since: int) -> Iterator[EntryColumns]:
        """Yield the entries of messages that this session still counts and others have expunged; usually none."""
        mailbox, counted = self.mailbox.id, self.known(ranges)
        if not counted or self._entries.count(mailbox, intersection(ranges, [(Uid(1), counted[-1])])) >= len(counted):
            return
        present = {entry.uid for entry in self._entries.entries(mailbox, ranges)}
        rows = (self._entries.expunged(mailbox, uid) for uid in counted if uid not in present)
        expunged = [Entry(row.uid, row.flagset, row.modseq) for row in rows if row is not None and row.modseq > since]
        if expunged:
            yield entry_columns(expunged)

    def rows(self, ranges: Sequence[Range[Uid]]) -> Iterator[StoredColumns]:
        """Yield the full rows of the messages that this session counts, including those that others have expunged.

        Each batch is read before any of it is yielded: a slow client must not hold a read transaction. It is given as
        columns, since to make a row of each message takes a tenth of the time of a FETCH.
        """
        counted = self.known(ranges)
        for at in range(0, len(counted), _BATCH):
            uids = counted[at : at + _BATCH]
            (batch,) = self._entries.stored_pages(self.mailbox.id, ranges_of(uids))
            if len(batch.uids) < len(uids):
                present = {row.uid: row for row in stored_rows(batch)}
                present_or_expunged = (present.get(uid) or self._entries.expunged(self.mailbox.id, uid) for uid in uids)
                batch = stored_columns([row for row in present_or_expunged if row is not None])
            yield from column_portions(batch)

    def flag_names(self) -> list[str]:
        """Return every flag that a client may meet in this mailbox."""
        return [*SYSTEM_FLAGS, *self._flagsets.keywords(self.mailbox.id)]

    def search_entries(self, key: SearchKey) -> Iterator[EntryHits]:
        """Yield the entries that a key means, ascending by UID; see `Searcher.entries`."""
        return self._search.entries(self._scope(), key)

    def search_rows(self, key: SearchKey) -> Iterator[RowHits]:
        """Yield the full rows that a key means, ascending by UID; see `Searcher.rows`."""
        return self._search.rows(self._scope(), key)

    def _scope(self) -> Scope:
        return Scope(self.mailbox.id, self.told.next_uid, self.told.expunged, self.exists)

    # Changing

    def store_flags(
        self,
        ranges: Sequence[Range[Uid]],
        mode: StoreMode,
        flags: frozenset[str],
        unchanged_since: int | None = None,
    ) -> StoreResult:
        """STORE; see `Entries.store`."""
        return self._entries.store(self.mailbox.id, ranges, mode, flags, unchanged_since)

    def mark_seen(self, ranges: Sequence[Range[Uid]], changed_since: int | None) -> ModSeq:
        """Set \\Seen on messages, as reading a body does.

        Args:
            ranges: UIDs; only messages that this session counts are changed.
            changed_since: only messages with a higher modseq are changed; None for all.

        Returns:
            The modseq of the change; 0 if there was nothing to set.
        """
        entries = self._entries.entries(self.mailbox.id, ranges_of(self.known(ranges)))
        flags_of = self._flagsets.flags_of
        unread = (entry for entry in entries if SEEN not in flags_of(entry.flagset).split())
        uids = ranges_of(entry.uid for entry in unread if changed_since is None or entry.modseq > changed_since)
        if not uids:
            return ModSeq(0)  # reading a message for the second time writes nothing
        return self.store_flags(uids, StoreMode.ADD, frozenset((SEEN,))).modseq

    def copy(self, ranges: Sequence[Range[Uid]], target: MailboxId) -> Copied:
        """COPY; see `Entries.copy`."""
        return self._entries.copy(self.mailbox.id, ranges, target)

    def move(self, ranges: Sequence[Range[Uid]], target: MailboxId) -> Copied:
        """MOVE; see `Entries.move`."""
        return self._entries.move(self.mailbox.id, ranges, target)

    def expunge(self, ranges: Sequence[Range[Uid]] = EVERYTHING, *, only_deleted: bool = True) -> None:
        """EXPUNGE; see `Entries.expunge`."""
        self._entries.expunge(self.mailbox.id, ranges, only_deleted=only_deleted)
