"""Which messages a search key means: cheap keys first, a message is opened only when nothing else decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Sequence
from datetime import date
from itertools import compress
from typing import Any

from crymapd.errors import CrymapError
from crymapd.imap.columns import Row
from crymapd.imap.handler.reading import Reading, portions
from crymapd.imap.response import Refusal
from crymapd.imap.session import Session
from crymapd.imap.wire import writer
from crymapd.mime.dates import sent_day
from crymapd.mime.encoded_words import decode, decode_words
from crymapd.mime.header import Header
from crymapd.mime.text import Folded, body_texts, fold, folded_headers
from crymapd.model import search as keys
from crymapd.model.flags import RECENT
from crymapd.model.search import SearchKey
from crymapd.model.sequence import contains
from crymapd.store.condition import Condition, both, condition, hull
from crymapd.store.lookup import STORED_COLUMNS
from crymapd.store.store import Store
from crymapd.store.view import View

_PAGE = 5_000
_MAX_ASKED = 1_000
_BATCH = 64  # kept texts may have 256 Ki characters each
PROGRESS_SECONDS = 10.0
_CATCH_UP_SECONDS = 0.5
"""How long a search indexes what is not yet, before it reads the rest itself."""


class Candidate(Reading):
    """A message being judged; `row` has the answers to the compiler's conditions at its end."""

    __slots__ = ("_header", "_texts")

    def __init__(self, store: Store, row: Row, header: bytes | None = None, texts: Folded | None = None) -> None:
        super().__init__(store, row, header)
        self._texts = texts
        self._header: Header | None = None

    def has_text(self, wanted: str, *, header: bool) -> bool:
        """Whether a folded text is in the body, or with `header` anywhere."""
        if self._texts is None:
            self._texts = self.message.folded()
            if self._texts is not None and not self.message.is_note:
                self._store.indexing.heard(self.row[4], self._texts)
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


Test = Callable[[Candidate], Any]


def matching(session: Session, key: SearchKey, *, whole: bool = False) -> Iterator[tuple[int, Row]]:
    """(sequence number, row) of every message that the key means, ascending; rows of Stored if `whole`, else of Entry.

    The database decides what rows decide; the index says of the others which may match, and the texts decide.
    A client that waits long hears how far it is (RFC 9585).
    """
    store, view = session.store, session.view
    key = _resolved(session, view, key)
    parts = key.keys if isinstance(key, keys.And) else (key,)
    rest = keys.And(tuple(part for part in parts if condition(part) is None))
    among = _narrowed(store, rest)
    reader = _Reader(store, rest) if rest.keys else None
    if reader is not None and among is not None and len(among) > max(_BATCH, view.exists // 4):
        reader.among, among = among, None
    pages = store.entries.matching(
        view.mailbox.id,
        both(*map(condition, parts), *map(hull, parts)),
        () if reader is None else reader.columns,
        whole=whole or reader is not None,
        page=_PAGE if reader is None else _BATCH,
        below=view.told.next_uid,
        since=view.told.expunged,
        among=among,
    )
    progress = _Progress(session, view.exists)
    for rows in pages:
        found = rows if reader is None else reader.chosen(rows)
        numbers = view.numbers([row[0] for row in found])
        yield from zip(compress(numbers, numbers), compress(found, numbers), strict=True)
        progress.reached(view.seq(rows[-1][0]) or 0)


def _resolved(session: Session, view: View, key: SearchKey) -> SearchKey:
    """With UIDs in the place of what only this session knows."""
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
    return key


def _narrowed(store: Store, key: SearchKey) -> set[int] | None:
    """The messages that a key may mean at most, by what the index knows; None for all."""
    if not (_mentions(key, keys.HeaderHas) or _mentions(key, keys.BodyHas)):
        return None
    store.indexing.catch_up(_CATCH_UP_SECONDS)
    # Asked before and after, as others fill the index meanwhile, or empty it.
    incarnation, before = store.index.incarnation(), store.indexing.unindexed()
    found = _holding(store, key)
    after = store.indexing.unindexed()
    if found is None or incarnation is None or store.index.incarnation() != incarnation:
        return None
    return found | before | after


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
        return bool(test(candidate))
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


class _Reader:
    """What rows alone do not decide."""

    def __init__(self, store: Store, key: keys.And) -> None:
        self._store = store
        self._asked: dict[Condition, int] = {}
        self._cheap = self._compiled(keys.And(tuple(part for part in key.keys if not cost(part))))
        self._test = self._compiled(keys.And(tuple(part for part in key.keys if cost(part))))
        self._needs_texts = _mentions(key, keys.BodyHas)
        self._needs_headers = _mentions(key, keys.HeaderHas) or _mentions(key, keys.Dated)
        self.among: Container[int] | None = None
        """The only message ids that come into question, if that is known."""

    @property
    def columns(self) -> list[Condition]:
        """What the database must answer behind the columns of a row."""
        return list(self._asked)

    def chosen(self, rows: Sequence[Row]) -> list[Row]:
        """Those that match."""
        among = self.among
        rows = [row for row in rows if (among is None or row[4] in among) and self._cheap(Candidate(self._store, row))]
        return [row for some in portions(rows) for row in self._read(some)]

    def _read(self, rows: Sequence[Row]) -> Iterator[Row]:
        ids = [row[4] for row in rows]
        texts = self._store.index.texts(ids) if self._needs_texts else {}
        headers = self._store.headers(ids) if self._needs_headers else {}
        for row in rows:
            if _matches(Candidate(self._store, row, headers.get(row[4]), texts.get(row[4])), self._test):
                yield row

    def _compiled(self, key: SearchKey) -> Test:
        asked = condition(key)
        if asked is not None:
            at = STORED_COLUMNS + self._asked.setdefault(asked, len(self._asked))
            if len(self._asked) > _MAX_ASKED:
                raise Refusal("NO", f"a search can have at most {_MAX_ASKED} keys beside those for text", "LIMIT")
            return lambda c: c.row[at]
        match key:
            case keys.Not(inner):
                negated = self._compiled(inner)
                return lambda c: not negated(c)
            case keys.Or(left, right):
                first, second = (self._compiled(k) for k in sorted((left, right), key=cost))
                return lambda c: first(c) or second(c)
            case keys.And(inner_keys):
                tests = [self._compiled(k) for k in sorted(inner_keys, key=cost)]
                return lambda c: all(test(c) for test in tests)
            case keys.Uids(ranges):
                return lambda c: contains(ranges, c.row[0])
            case keys.Dated(relation=relation, day=day):
                return _sent(relation, day)
            case keys.HeaderHas(name, text):
                return _header_has(name, text)
            case keys.BodyHas(text, header):
                return _body_has(text, header=header)
        raise AssertionError(key)


_RELATIONS: dict[str, Callable[[date, date], bool]] = {
    "BEFORE": lambda found, day: found < day,
    "ON": lambda found, day: found == day,
    "SINCE": lambda found, day: found >= day,
}


def _sent(relation: str, day: date) -> Test:
    """By the Date field; mail without one is before every day."""
    holds = _RELATIONS[relation]
    return lambda c: holds(sent_day(c.header.first(b"date")) or date.min, day)


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
