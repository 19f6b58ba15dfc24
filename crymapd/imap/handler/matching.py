"""Finds the messages of the selected mailbox that match a search key, with their numbers in this session."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import assert_never

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
"""How long a search goes on between two reports of its progress."""


@dataclass(frozen=True, slots=True)
class Hits:
    """The messages that match a search, as columns because they may be many.

    Attributes:
        numbers: their sequence numbers.
        uids: their UIDs, in the same order.
        modseqs: their modseqs, in the same order.
    """

    numbers: Sequence[SeqNum]
    uids: Sequence[Uid]
    modseqs: Sequence[ModSeq]

    @property
    def count(self) -> int:
        """How many hits there are."""
        return len(self.uids)

    def names(self, *, uid: bool) -> Sequence[int]:
        """Return the UIDs of the hits if the client uses UIDs, else their sequence numbers."""
        return self.uids if uid else self.numbers

    def cut(self, partial: Range[int]) -> Hits:
        """Return only the hits that PARTIAL asks for; see `span`."""
        part = span(self.count, partial)
        return Hits(self.numbers[part], self.uids[part], self.modseqs[part])

    def highest_modseq(self) -> ModSeq:
        """Return the highest modseq; there must be at least one hit."""
        return max(self.modseqs)


def span(count: int, partial: Range[int]) -> slice:
    """Turn the range of PARTIAL into a slice (RFC 9394 section 3.1).

    Args:
        count: how many results there are.
        partial: the ends in either order; 1 is the first result, -1 the last.
    """
    low, high = sorted(partial)
    if low > 0:
        return slice(low - 1, high)
    return slice(max(count + low, 0), max(count + high + 1, 0))


def matching(session: Session, key: SearchKey) -> Hits:
    """Find all messages that match a key; while that takes long, tell how far the search has come (RFC 9585).

    Returns:
        The hits, ascending by UID.

    Raises:
        Refusal: the key holds a sequence number beyond the mailbox.
        SearchTooComplex: the key is too complex.
    """
    view = session.view
    progress = _Progress(session, view)
    numbers: list[SeqNum] = []
    uids: list[Uid] = []
    modseqs: list[ModSeq] = []
    for entries, reached in view.search_entries(_resolved(session, view, key)):
        page = view.numbers(entries.uids)
        all_counted = 0 not in page  # 0 stands for a message that this session does not count
        numbers += page if all_counted else compress(page, page)
        uids += entries.uids if all_counted else compress(entries.uids, page)
        modseqs += entries.modseqs if all_counted else compress(entries.modseqs, page)
        progress.report(reached)
    return Hits(numbers, uids, modseqs)


def matching_rows(session: Session, key: SearchKey) -> Iterator[tuple[SeqNum, Stored]]:
    """Find the same messages as `matching`, but yield each with its number and its full row, for SORT and THREAD."""
    view = session.view
    progress = _Progress(session, view)
    for rows, reached in view.search_rows(_resolved(session, view, key)):
        numbers = view.numbers([row.uid for row in rows])
        yield from ((number, row) for number, row in zip(numbers, rows, strict=True) if number)
        progress.report(reached)


def _resolved(session: Session, view: View, key: SearchKey) -> SearchKey:
    """Replace sequence numbers, `$` and \\Recent in a key, which only this session can resolve, by UIDs."""
    match key:
        case keys.Not(inner):
            return keys.Not(_resolved(session, view, inner))
        case keys.Or(inner_keys):
            return keys.Or(tuple(_resolved(session, view, inner) for inner in inner_keys))
        case keys.And(inner_keys):
            return keys.And(tuple(_resolved(session, view, inner) for inner in inner_keys))
        case keys.InSequenceSet(sequence_set, uid):
            return keys.Uids(tuple(session.uid_ranges(sequence_set, uid=uid, beyond=True)))
        case keys.HasFlag(flag) if flag.lower() == RECENT.lower():
            return keys.Uids(tuple(view.recent_ranges))
        case (
            keys.All()
            | keys.HasFlag()
            | keys.Uids()
            | keys.Size()
            | keys.Dated()
            | keys.HeaderHas()
            | keys.AddressesHave()
            | keys.BodyHas()
            | keys.ModSeqSince()
            | keys.Within()
            | keys.ObjectId()
        ):
            return key
        case _:
            assert_never(key)


def mentions_modseq(key: SearchKey) -> bool:
    """Return whether a key holds MODSEQ, so that the response must tell a modseq (RFC 7162 section 3.1.5)."""
    return mentions(key, keys.ModSeqSince)


class _Progress:
    """Tells a client every few seconds that a long search goes on (RFC 9585 section 4)."""

    def __init__(self, session: Session, view: View) -> None:
        self._session = session
        self._view = view
        self._next = time.monotonic() + PROGRESS_SECONDS

    def report(self, reached: Uid) -> None:
        """Note that the search has come to a UID; tell the client if it is time, but not at the end of the mailbox."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PROGRESS_SECONDS
        count, goal = self._view.seq(reached) or 0, self._view.exists
        if count >= goal:
            return
        tag = writer.quoted(self._session.tag)
        self._session.line(b"OK [INPROGRESS (%b %d %d)] still searching" % (tag, count, goal))
        self._session.flush()
