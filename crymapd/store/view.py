"""A session's view of its mailbox: which messages it counts, up to what it has been told.

100,000 messages are one array of 400 kB, and not even that until a sequence number is used.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crymapd.model.numbers import SeqNum, Uid
from crymapd.model.sequence import Range, merge
from crymapd.store.entries import Entries
from crymapd.store.mailboxes import Mailbox

_SPARSE = 8


@dataclass(slots=True)
class Told:
    """How far this session has been told: the modseq of flags and arrivals, that of expunges, and UIDs."""

    modseq: int
    expunged: int
    next_uid: int


class View:
    """Sequence numbers of one selected mailbox."""

    def __init__(self, entries: Entries, mailbox: Mailbox, recent_uid: int, recent: int, *, read_only: bool) -> None:
        self.mailbox = mailbox
        self.read_only = read_only
        self._recent: list[Range] = [(recent_uid, mailbox.next_uid - 1)] if recent_uid < mailbox.next_uid else []
        self._recent_count = recent  # until UIDs are loaded
        self.told = Told(mailbox.modseq, mailbox.modseq, mailbox.next_uid)
        self.exists = mailbox.messages
        self._entries = entries
        self._uids: array[int] | None = None

    @property
    def uids(self) -> array[int]:
        """Ascending UIDs; the sequence number is the position plus one."""
        if self._uids is None:
            found = self._entries.uids(self.mailbox.id, self.told.next_uid, self.told.expunged)
            self._uids = found
            self.exists = len(self._uids)
        return self._uids

    @property
    def last_uid(self) -> int:
        """The largest UID, 0 in an empty mailbox."""
        return self.uids[-1] if self.exists and self.uids else 0

    def seq(self, uid: int) -> SeqNum | None:
        """The sequence number of a UID this session counts."""
        at = bisect_left(self.uids, uid)
        return SeqNum(at + 1) if at < len(self.uids) and self.uids[at] == uid else None

    def numbers(self, uids: Sequence[int]) -> Sequence[int]:
        """The sequence numbers of ascending UIDs, 0 for those this session does not count; quick for many."""
        if not uids:
            return ()
        own = self.uids
        low, high = bisect_left(own, uids[0]), bisect_right(own, uids[-1])
        if own[low : low + len(uids)] == array("I", uids):
            return range(low + 1, low + 1 + len(uids))
        if high - low > _SPARSE * len(uids):
            return [self.seq(uid) or 0 for uid in uids]
        numbers = dict(zip(own[low:high], range(low + 1, high + 1), strict=True))
        return [numbers.get(uid, 0) for uid in uids]

    def claim(self, first: int, next_uid: int, count: int) -> None:
        """UIDs from `first` on, `count` messages, were shown to nobody before us (RFC 3501 section 2.3.2)."""
        if first < next_uid:
            self._recent = merge([*self._recent, (first, next_uid - 1)])
            self._recent_count += count

    def forget_recent(self) -> None:
        """This session no longer tells of \\Recent (IMAP4rev2 has none)."""
        self._recent = []
        self._recent_count = 0

    @property
    def recent_ranges(self) -> list[Range]:
        return self._recent

    @property
    def recent(self) -> int:
        """How many messages are \\Recent here; without loading all UIDs to say so."""
        if self._uids is None:
            return self._recent_count
        return sum(bisect_right(self._uids, high) - bisect_left(self._uids, low) for low, high in self._recent)

    def uid_ranges(self, seq_ranges: Iterable[Range]) -> list[Range]:
        """UID ranges that hold exactly the messages with these sequence numbers (and unknown gaps)."""
        uids = self.uids
        found = []
        for low, high in seq_ranges:
            if low <= len(uids):
                found.append((uids[low - 1], uids[min(high, len(uids)) - 1]))
        return merge(found)

    def known(self, uid_ranges: Iterable[Range]) -> list[int]:
        """The UIDs of these ranges that this session counts."""
        uids = self.uids
        found: list[int] = []
        for low, high in uid_ranges:
            found.extend(uids[bisect_left(uids, low) : bisect_right(uids, high)])
        return found

    # Being told

    def add(self, uids: Sequence[Uid]) -> None:
        """New messages are announced."""
        if self._uids is not None:
            self._uids.extend(uids)
        self.exists += len(uids)

    def remove(self, uids: Sequence[Uid]) -> list[tuple[SeqNum, Uid]]:
        """Expunges are announced: (sequence number, UID), highest first, so that each number is right when sent."""
        gone = []
        own = self.uids
        for uid in reversed(uids):
            at = bisect_left(own, uid)
            if at < len(own) and own[at] == uid:
                del own[at]
                gone.append((SeqNum(at + 1), uid))
        self.exists = len(own)
        return gone
