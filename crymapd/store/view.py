"""A session's view of its mailbox: which messages it counts, up to what it has been told; and what it may do with them.

100,000 messages are one array of 400 kB, and not even that until a sequence number is used.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from crymapd.model.changes import Changes, Entry
from crymapd.model.flags import SEEN, StoreMode
from crymapd.model.numbers import MAX_UID, NO_SEQNUM, MailboxId, ModSeq, SeqNum, Uid
from crymapd.model.search import SearchKey
from crymapd.model.sequence import Range, intersection, merge, ranges_of
from crymapd.store.entries import Entries
from crymapd.store.flagsets import FlagSets
from crymapd.store.mailboxes import Mailbox, Mailboxes, Recent
from crymapd.store.rows import Copied, EntryColumns, Stored, StoreResult, entry_columns, portions
from crymapd.store.searching import EntryHits, RowHits, Scope, Search

_SPARSE = 8
_BATCH = 100
EVERYTHING: tuple[Range[Uid], ...] = ((Uid(1), MAX_UID),)


@dataclass(slots=True)
class Told:
    """How far a session has been told: the modseq of flags and arrivals, that of expunges, and UIDs."""

    modseq: ModSeq
    expunged: ModSeq
    next_uid: Uid


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts of the store that a view works with."""

    entries: Entries
    mailboxes: Mailboxes
    flagsets: FlagSets
    search: Search


class View:
    """One selected mailbox.

    Attributes:
        mailbox: its row as it was when it was selected.
        read_only: whether it was opened with EXAMINE.
        told: how far the session has been told.
        exists: how many messages the session counts.
        first_unseen: the number of the first message without \\Seen when it was selected, where that is known.
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
        self._recent_count = recent.messages  # until UIDs are loaded
        self._uids: array[int] | None = None

    # Sequence numbers and UIDs

    @property
    def uids(self) -> Sequence[Uid]:
        """Ascending UIDs; the sequence number is the position plus one."""
        return cast(Sequence[Uid], self._loaded())

    def _loaded(self) -> array[int]:
        if self._uids is None:
            self._uids = self._entries.uids(self.mailbox.id, self.told.next_uid, self.told.expunged)
            self.exists = len(self._uids)
        return self._uids

    def count_exactly(self) -> None:
        """Load the UIDs, after which `exists` and what the session counts do not depend on what others do."""
        self._loaded()

    @property
    def last_uid(self) -> Uid:
        """The largest UID, 0 in an empty mailbox."""
        return self.uids[-1] if self.exists and self.uids else Uid(0)

    def seq(self, uid: Uid) -> SeqNum | None:
        """The sequence number of a UID that this session counts."""
        at = bisect_left(self.uids, uid)
        return SeqNum(at + 1) if at < len(self.uids) and self.uids[at] == uid else None

    def numbers(self, uids: Sequence[Uid]) -> Sequence[SeqNum]:
        """The sequence numbers of ascending UIDs, 0 for those this session does not count; quick for many."""
        if not uids:
            return ()
        own = self._loaded()
        low, high = bisect_left(own, uids[0]), bisect_right(own, uids[-1])
        if own[low : low + len(uids)] == array("I", uids):
            return cast(Sequence[SeqNum], range(low + 1, low + 1 + len(uids)))
        if high - low > _SPARSE * len(uids):
            return [self.seq(uid) or NO_SEQNUM for uid in uids]
        numbers = dict(zip(own[low:high], range(low + 1, high + 1), strict=True))
        return cast(list[SeqNum], [numbers.get(uid, 0) for uid in uids])

    def uid_ranges(self, seq_ranges: Iterable[Range[SeqNum]]) -> list[Range[Uid]]:
        """UID ranges that hold exactly the messages with these sequence numbers (and unknown gaps)."""
        uids = self.uids
        within = ((low, min(high, len(uids))) for low, high in seq_ranges if low <= len(uids))
        return merge((uids[low - 1], uids[high - 1]) for low, high in within)

    def known(self, uid_ranges: Iterable[Range[Uid]]) -> list[Uid]:
        """The UIDs of these ranges that this session counts."""
        uids = self._loaded()
        known: list[int] = []
        for low, high in uid_ranges:
            known.extend(uids[bisect_left(uids, low) : bisect_right(uids, high)])
        return cast(list[Uid], known)

    # \Recent

    def claim_arrivals(self, next_uid: Uid) -> None:
        """Messages have arrived up to `next_uid`: those that no session was told of before are \\Recent here."""
        if self.read_only:
            return
        recent = self._mailboxes.claim_recent(self.mailbox.id, next_uid)
        if recent.first < next_uid:
            self._recent = merge([*self._recent, (recent.first, Uid(next_uid - 1))])
            self._recent_count += recent.messages

    def forget_recent(self) -> None:
        """This session no longer tells of \\Recent (IMAP4rev2 has none)."""
        self._recent = []
        self._recent_count = 0

    @property
    def recent_ranges(self) -> list[Range[Uid]]:
        """The UIDs that are \\Recent here."""
        return self._recent

    @property
    def recent(self) -> int:
        """How many messages are \\Recent here; without loading all UIDs to say so."""
        if self._uids is None:
            return self._recent_count
        return sum(bisect_right(self._uids, high) - bisect_left(self._uids, low) for low, high in self._recent)

    # Being told

    def add(self, uids: Sequence[Uid]) -> None:
        """New messages are announced."""
        if self._uids is not None:
            self._uids.extend(uids)
        self.exists += len(uids)

    def remove(self, uids: Sequence[Uid]) -> list[tuple[SeqNum, Uid]]:
        """Expunges are announced: (sequence number, UID), highest first, so that each number is right when sent."""
        gone = []
        own = self._loaded()
        for uid in reversed(uids):
            at = bisect_left(own, uid)
            if at < len(own) and own[at] == uid:
                del own[at]
                gone.append((SeqNum(at + 1), uid))
        self.exists = len(own)
        return gone

    # Asking

    def current(self) -> Mailbox | None:
        """The mailbox as it is now; None when it was deleted."""
        return self._mailboxes.by_id(self.mailbox.id)

    def changes(self, own_modseqs: Collection[ModSeq]) -> Changes:
        """What happened since the session was told, but for the changes of flags that it made itself."""
        told = self.told
        return self._entries.changes(self.mailbox.id, told.modseq, told.expunged, own_modseqs, told.next_uid)

    def changed_since(self, modseq: int) -> list[Entry]:
        """The messages that were there at SELECT and have changed after a modseq, ascending by UID."""
        changes = self._entries.changes(self.mailbox.id, ModSeq(modseq), self.mailbox.modseq)
        return [entry for entry in changes.changed if entry.uid < self.mailbox.next_uid]

    def vanished(self, since: int, within: Sequence[Range[Uid]]) -> list[Range[Uid]]:
        """UIDs that went away after a modseq, as the mailbox is now (RFC 7162 section 3.2.5.2)."""
        mailbox = self.current()
        return [] if mailbox is None else self._entries.vanished(mailbox, since, within)

    def vanished_at_select(self, since: int, within: Sequence[Range[Uid]]) -> list[Range[Uid]]:
        """UIDs that went away after a modseq, as the mailbox was when it was selected."""
        return self._entries.vanished(self.mailbox, since, within)

    def ranks(self, uids: Sequence[Uid]) -> dict[Uid, SeqNum]:
        """Sequence numbers of ascending UIDs as the mailbox is now, without loading the others."""
        return self._entries.ranks(self.mailbox.id, uids)

    def entry_pages(
        self, ranges: Sequence[Range[Uid]], since: int = 0, *, modseqs: bool = True
    ) -> Iterator[EntryColumns]:
        """Flags and modseqs of messages changed after a modseq, those among them that others have expunged."""
        yield from self._entries.entry_pages(self.mailbox.id, ranges, since, modseqs=modseqs)
        yield from self._expunged_entries(ranges, since)

    def _expunged_entries(self, ranges: Sequence[Range[Uid]], since: int) -> Iterator[EntryColumns]:
        """Of messages that went away elsewhere and that this session still counts; most often there are none."""
        mailbox, known = self.mailbox.id, self.known(ranges)
        if not known or self._entries.count(mailbox, intersection(ranges, [(Uid(1), known[-1])])) >= len(known):
            return
        present = {entry.uid for entry in self._entries.entries(mailbox, ranges)}
        rows = (self._entries.expunged(mailbox, uid) for uid in known if uid not in present)
        gone = [Entry(row.uid, row.flagset, row.modseq) for row in rows if row is not None and row.modseq > since]
        if gone:
            yield entry_columns(gone)

    def rows(self, ranges: Sequence[Range[Uid]]) -> Iterator[list[Stored]]:
        """Full rows of the messages this session counts, those among them that others have expunged.

        Each batch is read before any of it is given out: a slow client must not hold a read transaction.
        """
        known = self.known(ranges)
        for at in range(0, len(known), _BATCH):
            uids = known[at : at + _BATCH]
            rows = list(self._entries.stored(self.mailbox.id, ranges_of(uids)))
            if len(rows) < len(uids):
                present = {row.uid: row for row in rows}
                every = (present.get(uid) or self._entries.expunged(self.mailbox.id, uid) for uid in uids)
                rows = [row for row in every if row is not None]
            yield from portions(rows, lambda row: row.size)

    def search_entries(self, key: SearchKey) -> Iterator[EntryHits]:
        """Messages that a key means, ascending; see `Search.entries`."""
        return self._search.entries(self._scope(), key)

    def search_rows(self, key: SearchKey) -> Iterator[RowHits]:
        """The same with full rows."""
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
        """Set \\Seen on messages, as reading a body does; the modseq of that, 0 where there was nothing to set."""
        entries = self._entries.entries(self.mailbox.id, ranges_of(self.known(ranges)))
        flags_of = self._flagsets.flags_of
        unread = (entry for entry in entries if SEEN not in flags_of(entry.flagset).split())
        uids = ranges_of(entry.uid for entry in unread if changed_since is None or entry.modseq > changed_since)
        if not uids:
            return ModSeq(0)  # reading again writes nothing
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
