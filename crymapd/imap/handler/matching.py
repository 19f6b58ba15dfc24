"""Which messages of the selected mailbox a search key means, by the numbers that this session has for them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.model import search as keys
from crymapd.model.flags import RECENT
from crymapd.model.numbers import ModSeq, SeqNum, Uid
from crymapd.model.search import SearchKey, mentions
from crymapd.model.sequence import Range
from crymapd.store.rows import Stored
from crymapd.store.view import View

PROGRESS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Hits:
    """Messages that a search means, as columns: they may be many."""

    numbers: Sequence[SeqNum]
    uids: Sequence[Uid]
    modseqs: Sequence[ModSeq]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.uids)

    def names(self, *, uid: bool) -> Sequence[int]:
        """What the client calls them: UIDs or sequence numbers."""
        return self.uids if uid else self.numbers

    def cut(self, partial: Range[int]) -> Hits:
        """Those that PARTIAL asks for: the first is 1, the last -1; the ends come in either order (RFC 9394)."""
        some = span(self.count, partial)
        return Hits(self.numbers[some], self.uids[some], self.modseqs[some])

    def highest_modseq(self) -> ModSeq:
        """The highest modseq among them, of which there must be one."""
        return max(self.modseqs)


def span(count: int, partial: Range[int]) -> slice:
    """Which of so many results PARTIAL asks for (RFC 9394 section 3.1)."""
    low, high = sorted(partial)
    if low > 0:
        return slice(low - 1, high)
    return slice(max(count + low, 0), max(count + high + 1, 0))


def matching(session: Session, key: SearchKey) -> Hits:
    """Every message that a key means, ascending.

    A client that waits long hears how far the search has come (RFC 9585).

    Raises:
        Refusal: a sequence number beyond the mailbox. SearchTooComplex.
    """
    view = session.view
    progress = _Progress(session, view)
    numbers: list[SeqNum] = []
    uids: list[Uid] = []
    modseqs: list[ModSeq] = []
    for entries, reached in view.search_entries(_resolved(session, view, key)):
        own = view.numbers(entries.uids)
        counted = 0 not in own
        numbers += own if counted else compress(own, own)
        uids += entries.uids if counted else compress(entries.uids, own)
        modseqs += entries.modseqs if counted else compress(entries.modseqs, own)
        progress.report(reached)
    return Hits(numbers, uids, modseqs)


def matching_rows(session: Session, key: SearchKey) -> Iterator[tuple[SeqNum, Stored]]:
    """The same one by one with their full rows, for what compares messages."""
    view = session.view
    progress = _Progress(session, view)
    for rows, reached in view.search_rows(_resolved(session, view, key)):
        numbers = view.numbers([row.uid for row in rows])
        yield from ((number, row) for number, row in zip(numbers, rows, strict=True) if number)
        progress.report(reached)


def _resolved(session: Session, view: View, key: SearchKey) -> SearchKey:
    """The key with UIDs in the place of what only this session knows."""
    match key:
        case keys.Not(inner):
            return keys.Not(_resolved(session, view, inner))
        case keys.Or(left, right):
            return keys.Or(_resolved(session, view, left), _resolved(session, view, right))
        case keys.And(inner_keys):
            return keys.And(tuple(_resolved(session, view, inner) for inner in inner_keys))
        case keys.Numbers(numbers, uid):
            return keys.Uids(tuple(session.uid_ranges(numbers, uid=uid)))
        case keys.HasFlag(flag) if flag.lower() == RECENT.lower():
            return keys.Uids(tuple(view.recent_ranges))
        case _:
            return key


def mentions_modseq(key: SearchKey) -> bool:
    """Whether the answer tells modseqs (RFC 7162 section 3.1.5)."""
    return mentions(key, keys.ModSeqSince)


class _Progress:
    """Tells a client every few seconds that a long search goes on (RFC 9585 section 4)."""

    def __init__(self, session: Session, view: View) -> None:
        self._session = session
        self._view = view
        self._next = time.monotonic() + PROGRESS_SECONDS

    def report(self, reached: Uid) -> None:
        """The search has come to a UID; say so if it is time, but not at the end, when the answer itself comes."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PROGRESS_SECONDS
        count, goal = self._view.seq(reached) or 0, self._view.exists
        if count >= goal:
            return
        tag = writer.quoted(self._session.tag)
        self._session.line(b"OK [INPROGRESS (%b %d %d)] still searching" % (tag, count, goal))
        self._session.flush()
