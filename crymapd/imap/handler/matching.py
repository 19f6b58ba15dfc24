"""Which messages a search key means: cheap keys first, a message is opened only when nothing else decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date

from crymapd.errors import CrymapError, MessageGone
from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.mime.dates import sent_day
from crymapd.mime.encoded_words import decode, decode_words
from crymapd.mime.header import Header
from crymapd.mime.text import body_texts, fold, header_text
from crymapd.model import search as keys
from crymapd.model.flags import RECENT
from crymapd.model.search import SearchKey
from crymapd.store.entries import Stored
from crymapd.store.store import Message, Store
from crymapd.store.view import View

_BATCH = 100
PROGRESS_SECONDS = 10.0
_KEPT_TEXT = 4 << 20
"""A message's folded text is kept for further keys up to this many characters."""


class Candidate:
    """A message being judged; what is not in its row is loaded when a key asks for it."""

    def __init__(self, store: Store, row: Stored, number: int, flags: frozenset[str]) -> None:
        self.row = row
        self.number = number
        self.flags = flags
        self._store = store
        self._stack = ExitStack()
        self._message: Message | None = None
        self._header: Header | None = None
        self._texts: dict[bool, tuple[list[str], Iterator[str]]] = {}

    def folded_header(self) -> str:
        """The decoded top-level header, folded."""
        if self._folded_header is None:
            self._folded_header = fold(header_text(self.header))
        return self._folded_header

    _folded_header: str | None = None

    def folded_texts(self, *, headers: bool) -> Iterator[str]:
        """The decoded text of each part, with `headers` of the part headers too; short ones are read once."""
        kept, source = self._texts.setdefault(headers, ([], self._source(headers)))
        yield from tuple(kept)
        room = _KEPT_TEXT - sum(map(len, kept))
        for text in source:
            room -= len(text)
            if room >= 0:
                kept.append(text)
            else:
                self._texts.pop(headers, None)  # too much to keep: it is read again for the next key
            yield text

    def _source(self, headers: bool) -> Iterator[str]:
        message = self.message
        return (fold(piece) for piece in body_texts(message.root, message.pieces, headers=headers))

    @property
    def message(self) -> Message:
        if self._message is None:
            self._message = self._stack.enter_context(self._store.read(self.row[4]))
        return self._message

    @property
    def header(self) -> Header:
        if self._header is None:
            found = self._store.summaries([self.row[4]]).get(self.row[4])
            if found is None:
                raise MessageGone("purged")
            self._header = Header(found.header)
        return self._header

    def close(self) -> None:
        self._stack.close()


Test = Callable[[Candidate], bool]


def matching(session: Session, key: SearchKey) -> Iterator[tuple[int, Stored]]:
    """(sequence number, row) of every message that the key means, ascending.

    A client that waits long hears how far it is (RFC 9585).
    """
    view, store = session.view, session.store
    test = _Compiler(session, view).test(key)
    uids = view.uids
    progress = _Progress(session, len(uids))
    for at in range(0, len(uids), _BATCH):
        some = uids[at : at + _BATCH]
        batch = {row[0]: row for row in store.entries.stored(view.mailbox.id, [(some[0], some[-1])])}
        for number, uid in enumerate(some, at + 1):
            row = batch.get(uid) or store.entries.expunged(view.mailbox.id, uid)
            if row is not None and _matches(store, view, row, number, test):
                yield number, row
            progress.reached(number)


class _Progress:
    """Tells a client every few seconds that a long search goes on (RFC 9585 section 4)."""

    def __init__(self, session: Session, goal: int) -> None:
        self._session = session
        self._goal = goal
        self._next = time.monotonic() + PROGRESS_SECONDS

    def reached(self, count: int) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PROGRESS_SECONDS
        tag = writer.quoted(self._session.tag)
        self._session.line(b"OK [INPROGRESS (%b %d %d)] still searching" % (tag, count, self._goal))
        self._session.flush()


def _matches(store: Store, view: View, row: Stored, number: int, test: Test) -> bool:
    flags = set(store.meta.flags_of(row[1]).lower().split())
    if view.is_recent(row[0]):
        flags.add(RECENT.lower())
    candidate = Candidate(store, row, number, frozenset(flags))
    try:
        return test(candidate)
    except CrymapError:
        return False  # gone or unreadable: it holds nothing that could match
    finally:
        candidate.close()


def mentions_modseq(key: SearchKey) -> bool:
    match key:
        case keys.ModSeqSince():
            return True
        case keys.Not(inner):
            return mentions_modseq(inner)
        case keys.Or(left, right):
            return mentions_modseq(left) or mentions_modseq(right)
        case keys.And(inner_keys):
            return any(map(mentions_modseq, inner_keys))
    return False


_COST: dict[type, int] = {keys.HeaderHas: 2, keys.BodyHas: 3}


def cost(key: SearchKey) -> int:
    """0 for what the row decides, more for what has to be read."""
    match key:
        case keys.Not(inner):
            return cost(inner)
        case keys.Or(left, right):
            return max(cost(left), cost(right))
        case keys.And(inner_keys):
            return max(map(cost, inner_keys), default=0)
        case keys.Dated(source="SENT"):
            return 1
    return _COST.get(type(key), 0)


class _Compiler:
    """Turns a key into a test; numbers are resolved against the session's view once."""

    def __init__(self, session: Session, view: View) -> None:
        self._session = session
        self._view = view

    def test(self, key: SearchKey) -> Test:
        match key:
            case keys.All():
                return lambda _c: True
            case keys.Not(inner):
                negated = self.test(inner)
                return lambda c: not negated(c)
            case keys.Or(left, right):
                first, second = (self.test(k) for k in sorted((left, right), key=cost))
                return lambda c: first(c) or second(c)
            case keys.And(inner_keys):
                tests = [self.test(k) for k in sorted(inner_keys, key=cost)]
                return lambda c: all(test(c) for test in tests)
            case keys.HasFlag(flag):
                wanted = flag.lower()
                return lambda c: wanted in c.flags
            case keys.Numbers(numbers, uid):
                uids = frozenset(self._view.known(self._session.uid_ranges(numbers, uid=uid)))
                return lambda c: c.row[0] in uids
            case keys.Size(octets, larger):
                return lambda c: c.row[5] > octets if larger else c.row[5] < octets
            case keys.ModSeqSince(modseq):
                return lambda c: c.row[2] >= modseq
            case keys.Dated(source, relation, day):
                return _dated(source, relation, day)
            case keys.Within(seconds, older):
                edge = int(time.time()) - seconds  # RFC 5032 section 2: the edge itself is both
                return lambda c: c.row[6] <= edge if older else c.row[6] >= edge
            case keys.ObjectId(value, thread):
                return lambda c: value == (thread_id(c.row) if thread else email_id(c.row))
            case keys.HeaderHas(name, text):
                return _header_has(name, text)
            case keys.BodyHas(text, header):
                return _body_has(text, header=header)


_RELATIONS: dict[str, Callable[[date, date], bool]] = {
    "BEFORE": lambda found, day: found < day,
    "ON": lambda found, day: found == day,
    "SINCE": lambda found, day: found >= day,
}
_DAYS: dict[str, Callable[[Candidate], date | None]] = {
    "INTERNAL": lambda c: _day(c.row[6] + c.row[7] * 60),
    "SAVED": lambda c: _day(c.row[3]),
    "SENT": lambda c: sent_day(c.header.first(b"date")) or _day(c.row[6] + c.row[7] * 60),
}


def email_id(row: Stored) -> str:
    """EMAILID (RFC 8474 section 5.1)."""
    return f"M{row[8].hex()}"


def thread_id(row: Stored) -> str | None:
    """THREADID (RFC 8474 section 5.2); None where it was not kept when the message was filed."""
    return None if row[9] is None else f"T{row[9].hex()}"


def _day(seconds: int) -> date:
    return date(*time.gmtime(seconds)[:3])


def _dated(source: str, relation: str, day: date) -> Test:
    found, holds = _DAYS[source], _RELATIONS[relation]

    def test(candidate: Candidate) -> bool:
        its = found(candidate)
        return its is not None and holds(its, day)

    return test


def _header_has(name: str, text: str) -> Test:
    """A decoded field that holds the text; an empty text asks whether there is the field."""
    wanted, field = fold(text), name.lower().encode("utf-8", "replace")

    def test(candidate: Candidate) -> bool:
        return any(
            not wanted or wanted in fold(decode_words(value)) or wanted in fold(decode(value, None))
            for value in candidate.header.all(field)
        )

    return test


def _body_has(text: str, *, header: bool) -> Test:
    wanted = fold(text)

    def test(candidate: Candidate) -> bool:
        if header and wanted in candidate.folded_header():
            return True
        return any(wanted in text for text in candidate.folded_texts(headers=header))

    return test
