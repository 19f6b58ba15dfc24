"""Which messages of a mailbox a search key means.

The database decides what rows decide (`condition`); of the rest the index names the messages that may match, to which
those are added that it does not know; their header fields and texts decide, and a message is opened only where
these are not kept.  So the answer never depends on how full the index is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from datetime import date
from typing import NamedTuple, assert_never

from crymapd.errors import CrymapError, MessageGone, SearchTooComplex
from crymapd.mime.dates import sent_day
from crymapd.mime.header import Header
from crymapd.mime.text import (
    SearchTexts,
    address_text,
    body_texts,
    field_texts,
    header_search_texts,
    search_form,
)
from crymapd.model import search as keys
from crymapd.model.numbers import MailboxId, MessageId, ModSeq, Uid
from crymapd.model.search import SearchKey, mentions
from crymapd.model.sequence import contains
from crymapd.store.answers import Answers
from crymapd.store.condition import Condition, both, condition, hull
from crymapd.store.index import Index
from crymapd.store.indexing import Indexing
from crymapd.store.lookup import Judged, Lookup
from crymapd.store.message import Message
from crymapd.store.reader import MessageReader
from crymapd.store.rows import EntryColumns, Stored, portions

_PAGE = 5_000
_BATCH = 64  # kept texts may have 256 Ki characters each
_MAX_CONDITIONS = 1_000
_CATCH_UP_SECONDS = 0.5
"""How long a search indexes what is not yet indexed, before it reads the rest itself."""


class Scope(NamedTuple):
    """The messages that a session counts: in a mailbox, under a UID, with those expunged after a modseq.

    `exists` is how many they are.
    """

    mailbox: MailboxId
    below: Uid
    since: ModSeq
    exists: int


class EntryHits(NamedTuple):
    """A page of messages that match, and up to which UID the search has come."""

    entries: EntryColumns
    reached: Uid


class RowHits(NamedTuple):
    """The same with whole rows."""

    rows: Sequence[Stored]
    reached: Uid


class Search:
    """Searches in the mailboxes of one account."""

    def __init__(
        self, lookup: Lookup, index: Index, indexing: Indexing, answers: Answers, reader: MessageReader
    ) -> None:
        self._lookup = lookup
        self._index = index
        self._indexing = indexing
        self._answers = answers
        self._reader = reader

    def entries(self, scope: Scope, key: SearchKey) -> Iterator[EntryHits]:
        """Messages that match, ascending by UID; `Numbers` and `\\Recent` must be `Uids` in the key.

        Raises:
            SearchTooComplex.
        """
        where, rest = _divided(key)
        if rest.keys:
            for rows, reached in self._judged(scope, where, rest):
                yield EntryHits(
                    EntryColumns(
                        [row.uid for row in rows], [row.flagset for row in rows], [row.modseq for row in rows]
                    ),
                    reached,
                )
            return
        pages = self._lookup.matching_entries(scope.mailbox, where, page=_PAGE, below=scope.below, since=scope.since)
        yield from (EntryHits(page, page.uids[-1]) for page in pages if page.uids)

    def rows(self, scope: Scope, key: SearchKey) -> Iterator[RowHits]:
        """The same with whole rows."""
        where, rest = _divided(key)
        if rest.keys:
            yield from self._judged(scope, where, rest)
            return
        for judged in self._lookup.matching_rows(
            scope.mailbox, where, page=_PAGE, below=scope.below, since=scope.since
        ):
            yield RowHits([row for row, _truths in judged], judged[-1].row.uid)

    def _judged(self, scope: Scope, where: Condition, rest: keys.And) -> Iterator[RowHits]:
        """Of the messages that meet a condition, those for which what only their header or text decides is true."""
        judge = _Judge(rest, self._index, self._indexing, self._answers, self._reader)
        among = self._narrowed(rest)
        if among is not None and len(among) > max(_BATCH, scope.exists // 4):
            judge.among, among = among, None  # so many are looked up more quickly in order
        pages = self._lookup.matching_rows(
            scope.mailbox,
            where,
            judge.conditions,
            page=_BATCH,
            below=scope.below,
            since=scope.since,
            among=among,
        )
        for page in pages:
            yield RowHits(judge.chosen(page), page[-1].row.uid)

    # What the index knows

    def _narrowed(self, key: SearchKey) -> set[MessageId] | None:
        """The messages that a key may mean at most; None for all."""
        if not mentions(key, keys.HeaderHas, keys.AddressesHave, keys.BodyHas):
            return None
        self._indexing.catch_up(_CATCH_UP_SECONDS)
        # Asked before and after, as others fill the index meanwhile, or empty it.
        incarnation, before = self._index.incarnation(), self._indexing.unindexed()
        holding = self._holding(key)
        after = self._indexing.unindexed()
        if holding is None or incarnation is None or self._index.incarnation() != incarnation:
            return None
        return holding | before | after

    def _holding(self, key: SearchKey) -> set[MessageId] | None:
        """The indexed messages that may match; None where the index cannot tell."""
        match key:
            case keys.HeaderHas(text=text) | keys.AddressesHave(text=text) | keys.BodyHas(text=text):
                return self._index.candidates(search_form(text))
            case keys.And(inner_keys):
                known = [some for some in map(self._holding, inner_keys) if some is not None]
                return set.intersection(*known) if known else None
            case keys.Or(left, right):
                one, other = self._holding(left), self._holding(right)
                return None if one is None or other is None else one | other
            case _:
                return None


def _divided(key: SearchKey) -> tuple[Condition, keys.And]:
    """What the database decides of a key, and the rest, both of which must hold."""
    parts = key.keys if isinstance(key, keys.And) else (key,)
    where = both(*map(condition, parts), *map(hull, parts))
    return where, keys.And(tuple(part for part in parts if condition(part) is None))


_COST: dict[type, int] = {keys.HeaderHas: 2, keys.AddressesHave: 2, keys.BodyHas: 3}


def _cost(key: SearchKey) -> int:
    """0 for what the row decides, more for what has to be read."""
    match key:
        case keys.Not(inner):
            return _cost(inner)
        case keys.Or(left, right):
            return max(_cost(left), _cost(right))
        case keys.And(inner_keys):
            return max(map(_cost, inner_keys), default=0)
        case keys.Dated(source="SENT"):
            return 1
        case _:
            return _COST.get(type(key), 0)


class _Candidate:
    """A message that may match; what is not known of it is read when it is first asked for."""

    __slots__ = ("_header", "_judge", "_message", "_raw_header", "_texts", "row", "truths")

    def __init__(
        self, judge: _Judge, judged: Judged, raw_header: bytes | None = None, texts: SearchTexts | None = None
    ) -> None:
        self.row, self.truths = judged
        self._judge = judge
        self._raw_header = raw_header
        self._texts = texts
        self._header: Header | None = None
        self._message: Message | None = None

    @property
    def header(self) -> Header:
        """Its top-level header. Raises MessageGone."""
        if self._header is None:
            if self._raw_header is None:
                raise MessageGone("the message was purged, or cannot be read")
            self._header = Header(self._raw_header)
        return self._header

    def has_text(self, wanted: str, *, header: bool) -> bool:
        """Whether a text in search form is in the body, or with `header` anywhere.

        Raises:
            MessageGone, MessageUnavailable.
        """
        if self._texts is None and self._message is None:
            self._read_texts()
        if self._texts is not None:
            return self._texts.has(wanted, header=header)
        assert self._message is not None
        message = self._message
        if header and any(wanted in text for text in header_search_texts(message.root)[::2]):
            return True
        return any(wanted in search_form(text) for text in body_texts(message.root, message.pieces))

    def _read_texts(self) -> None:
        """Open the message for its texts; where these are too long to be held, it stays open."""
        self._message = self._judge.reader.read(self.row.message)
        self._texts = self._message.search_texts()
        if self._texts is not None and not self._message.is_note:
            self._judge.indexing.remember_texts(self.row.message, self._texts)

    def close(self) -> None:
        """Give back what reading the message holds."""
        if self._message is not None:
            self._message.close()


Test = Callable[[_Candidate], bool]


class _Judge:
    """Decides about messages what the database alone does not."""

    def __init__(
        self, key: keys.And, index: Index, indexing: Indexing, answers: Answers, reader: MessageReader
    ) -> None:
        self.indexing = indexing
        self.reader = reader
        self._index = index
        self._answers = answers
        self._places: dict[Condition, int] = {}
        self._cheap = self._compiled(keys.And(tuple(part for part in key.keys if not _cost(part))))
        self._test = self._compiled(keys.And(tuple(part for part in key.keys if _cost(part))))
        self._needs_texts = mentions(key, keys.BodyHas)
        self._needs_headers = mentions(key, keys.HeaderHas, keys.AddressesHave, keys.Dated)
        self.among: Container[MessageId] | None = None
        """The only messages that come into question, if that is known."""

    @property
    def conditions(self) -> list[Condition]:
        """What the database must say of each row beside its columns."""
        return list(self._places)

    def chosen(self, page: Sequence[Judged]) -> list[Stored]:
        """The rows that match."""
        among = self.among
        likely = (
            judged
            for judged in page
            if (among is None or judged.row.message in among) and self._cheap(_Candidate(self, judged))
        )
        return [row for some in portions(likely, lambda judged: judged.row.size) for row in self._read(some)]

    def _read(self, page: Sequence[Judged]) -> Iterator[Stored]:
        messages = [judged.row.message for judged in page]
        texts = self._index.texts(messages) if self._needs_texts else {}
        headers = self._answers.headers(messages) if self._needs_headers else {}
        for judged in page:
            message = judged.row.message
            if _matches(_Candidate(self, judged, headers.get(message), texts.get(message)), self._test):
                yield judged.row

    def _compiled(self, key: SearchKey) -> Test:
        """A key as a function; what the database can say becomes one of `conditions`."""
        asked = condition(key)
        if asked is not None:
            at = self._places.setdefault(asked, len(self._places))
            if at >= _MAX_CONDITIONS:
                raise SearchTooComplex(f"a search can have at most {_MAX_CONDITIONS} keys beside those for text")
            return lambda candidate: bool(candidate.truths[at])
        match key:
            case keys.Not(inner):
                negated = self._compiled(inner)
                return lambda candidate: not negated(candidate)
            case keys.Or(left, right):
                first, second = (self._compiled(one) for one in sorted((left, right), key=_cost))
                return lambda candidate: first(candidate) or second(candidate)
            case keys.And(inner_keys):
                tests = [self._compiled(one) for one in sorted(inner_keys, key=_cost)]
                return lambda candidate: all(test(candidate) for test in tests)
            case keys.Uids(ranges):
                return lambda candidate: contains(ranges, candidate.row.uid)
            case keys.Dated(relation=relation, day=day):
                return _sent(relation, day)
            case keys.HeaderHas(name, text):
                return _field_has(name, text, field_texts)
            case keys.AddressesHave(name, text):
                return _field_has(name, text, lambda value: [address_text(value)])
            case keys.BodyHas(text, header):
                wanted = search_form(text)
                return lambda candidate: candidate.has_text(wanted, header=header)
            case (
                keys.All()
                | keys.HasFlag()
                | keys.Numbers()
                | keys.Size()
                | keys.ModSeqSince()
                | keys.Within()
                | keys.ObjectId()
            ):
                raise AssertionError(f"{key} is decided by the database, or must have been resolved")
            case _:
                assert_never(key)


def _matches(candidate: _Candidate, test: Test) -> bool:
    try:
        return test(candidate)
    except CrymapError:
        return False  # gone or unreadable: it holds nothing that could match
    finally:
        candidate.close()


_RELATIONS: dict[str, Callable[[date, date], bool]] = {
    "BEFORE": lambda sent, day: sent < day,
    "ON": lambda sent, day: sent == day,
    "SINCE": lambda sent, day: sent >= day,
}


def _sent(relation: str, day: date) -> Test:
    """By the Date field; mail without one is before every day."""
    holds = _RELATIONS[relation]
    return lambda candidate: holds(sent_day(candidate.header.first(b"date")) or date.min, day)


def _field_has(name: str, text: str, texts: Callable[[bytes], list[str]]) -> Test:
    """Test whether one of the texts of a field holds a text; an empty text asks whether there is the field."""
    wanted, field = search_form(text), name.lower().encode("utf-8", "replace")

    def test(candidate: _Candidate) -> bool:
        return any(
            not wanted or any(wanted in search_form(form) for form in texts(value))
            for value in candidate.header.values(field)
        )

    return test
