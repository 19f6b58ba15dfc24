"""Which messages a search key means: cheap keys first, a message is opened only when nothing else decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date

from crymapd.errors import CrymapError
from crymapd.imap.handler.reading import Reading
from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.mime.dates import sent_day
from crymapd.mime.encoded_words import decode, decode_words
from crymapd.mime.header import Header
from crymapd.mime.text import Folded, body_texts, fold, folded_headers
from crymapd.model import search as keys
from crymapd.model.flags import RECENT
from crymapd.model.search import SearchKey
from crymapd.store.entries import Stored
from crymapd.store.store import Store
from crymapd.store.view import View

_BATCH = 200
PROGRESS_SECONDS = 10.0
_CATCH_UP_SECONDS = 0.5
"""How long a search indexes what is not yet, before it reads the rest itself."""


class Candidate(Reading):
    """A message being judged."""

    __slots__ = ("_header", "_texts", "flags")

    def __init__(self, store: Store, row: Stored, flags: frozenset[str], texts: Folded | None = None) -> None:
        super().__init__(store, row)
        self.flags = flags
        self._texts = texts
        self._header: Header | None = None

    def has_text(self, wanted: str, *, header: bool) -> bool:
        """Whether a folded text is in the body, or with `header` anywhere."""
        if self._texts is None:
            self._texts = self.message.folded()
            if self._texts is not None and not self.message.is_note:
                self._store.heard(self.row[4], self._texts)
        if self._texts is not None:
            return self._texts.has(wanted, header=header)
        message = self.message
        if header and any(wanted in text for text in folded_headers(message.root)[::2]):
            return True
        return any(wanted in fold(text) for text in body_texts(message.root, message.pieces))

    @property
    def header(self) -> Header:
        if self._header is None:
            self._header = Header(self.raw_header)
        return self._header


Test = Callable[[Candidate], bool]


def matching(session: Session, key: SearchKey) -> Iterator[tuple[int, Stored]]:
    """(sequence number, row) of every message that the key means, ascending.

    The index says which messages may match; the texts decide.  A client that waits long hears how far
    it is (RFC 9585).
    """
    view = session.view
    test = _Compiler(session, view).test(key)
    flags = _Flags(session, view)
    needs_texts = _mentions(key, keys.BodyHas)
    for rows in _batches(session, view, key):
        texts = session.store.index.texts([row[4] for row in rows]) if needs_texts else {}
        for row in rows:
            candidate = Candidate(session.store, row, flags.of(row), texts.get(row[4]))
            if _matches(candidate, test):
                number = view.seq(row[0])
                if number is not None:
                    yield number, row


def _batches(session: Session, view: View, key: SearchKey) -> Iterator[list[Stored]]:
    """Rows of the messages that may match, in batches, ascending."""
    entries, mailbox = session.store.entries, view.mailbox.id
    narrowed = _narrowed(session.store, key)
    if narrowed is not None and len(narrowed) <= max(_BATCH, view.exists // 4):
        rows = entries.of_messages(mailbox, narrowed, view.told.expunged)
        for at in range(0, len(rows), _BATCH):
            yield rows[at : at + _BATCH]
        return
    uids = view.uids
    progress = _Progress(session, len(uids))
    for at in range(0, len(uids), _BATCH):
        some = uids[at : at + _BATCH]
        found = {row[0]: row for row in entries.stored(mailbox, [(some[0], some[-1])])}
        known = (found.get(uid) or entries.expunged(mailbox, uid) for uid in some)
        yield [row for row in known if row is not None and (narrowed is None or row[4] in narrowed)]
        progress.reached(at + len(some))


def _narrowed(store: Store, key: SearchKey) -> set[int] | None:
    """The messages that a key may mean at most, by what the index knows; None for all."""
    if not (_mentions(key, keys.HeaderHas) or _mentions(key, keys.BodyHas)):
        return None
    store.catch_up(_CATCH_UP_SECONDS)
    # Asked before and after, as others fill the index meanwhile, or delete it.
    generation, before = store.index.generation, store.unindexed()
    found = _holding(store, key)
    after = store.unindexed()
    return None if found is None or store.index.generation != generation else found | before | after


def _holding(store: Store, key: SearchKey) -> set[int] | None:
    """Among the indexed messages."""
    match key:
        case keys.HeaderHas(text=text) | keys.BodyHas(text=text):
            return store.index.candidates(fold(text))
        case keys.And(inner_keys):
            found = [some for some in (_holding(store, inner) for inner in inner_keys) if some is not None]
            return set.intersection(*found) if found else None
        case keys.Or(left, right):
            one, other = _holding(store, left), _holding(store, right)
            return None if one is None or other is None else one | other
    return None


class _Flags:
    """The flags of a message as SEARCH compares them; each combination is put together once."""

    def __init__(self, session: Session, view: View) -> None:
        self._meta = session.store.meta
        self._view = view
        self._known: dict[int, frozenset[str]] = {}

    def of(self, row: Stored) -> frozenset[str]:
        flags = self._known.get(row[1])
        if flags is None:
            flags = self._known[row[1]] = frozenset(self._meta.flags_of(row[1]).lower().split())
        return flags | {RECENT.lower()} if self._view.is_recent(row[0]) else flags


class _Progress:
    """Tells a client every few seconds that a long search goes on (RFC 9585 section 4)."""

    def __init__(self, session: Session, goal: int) -> None:
        self._session = session
        self._goal = goal
        self._next = time.monotonic() + PROGRESS_SECONDS

    def reached(self, count: int) -> None:
        if count >= self._goal or time.monotonic() < self._next:
            return  # at the goal the answer itself comes
        self._next = time.monotonic() + PROGRESS_SECONDS
        tag = writer.quoted(self._session.tag)
        self._session.line(b"OK [INPROGRESS (%b %d %d)] still searching" % (tag, count, self._goal))
        self._session.flush()


def _matches(candidate: Candidate, test: Test) -> bool:
    try:
        return test(candidate)
    except CrymapError:
        return False  # gone or unreadable: it holds nothing that could match
    finally:
        candidate.close()


def mentions_modseq(key: SearchKey) -> bool:
    """Whether the answer tells modseqs (RFC 7162 section 3.1.5)."""
    return _mentions(key, keys.ModSeqSince)


def _mentions(key: SearchKey, kind: type) -> bool:
    match key:
        case keys.Not(inner):
            return _mentions(inner, kind)
        case keys.Or(left, right):
            return _mentions(left, kind) or _mentions(right, kind)
        case keys.And(inner_keys):
            return any(_mentions(inner, kind) for inner in inner_keys)
    return isinstance(key, kind)


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
    "SENT": lambda c: sent_day(c.header.first(b"date")) or date.min,  # undated: before every day
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
    return lambda candidate: candidate.has_text(wanted, header=header)
