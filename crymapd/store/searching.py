"""Finding the messages of a mailbox that a search key means.

The database decides conditions by itself (`condition`).  For the rest of the key, the index names candidates, and
messages that are not indexed are candidates too.  The header fields and search texts of a candidate decide; the message
is opened only if the index does not keep them.  So the answer never depends on how full the index is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from datetime import date
from typing import NamedTuple, assert_never

from crymapd.errors import MessageGone, MessageUnavailable, SearchTooComplex
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
from crymapd.store.condition import Condition, all_of, condition, hull
from crymapd.store.index import Index
from crymapd.store.indexing import Indexing
from crymapd.store.lookup import JudgedRow, Lookup
from crymapd.store.message import Message
from crymapd.store.reader import MessageReader
from crymapd.store.rows import EntryColumns, Stored, portions

_PAGE = 5_000
_BATCH = 64  # candidates whose texts are held at once; each may have 256 Ki characters
_MAX_CONDITIONS = 1_000


class Scope(NamedTuple):
    """The messages that a session counts.

    Attributes:
        mailbox: the mailbox they are in.
        below: their UIDs are smaller than this.
        since: messages that were expunged after this modseq are among them.
        exists: how many they are.
    """

    mailbox: MailboxId
    below: Uid
    since: ModSeq
    exists: int


class EntryHits(NamedTuple):
    """A page of entries that match, and the UID that the search has reached."""

    entries: EntryColumns
    reached: Uid


class RowHits(NamedTuple):
    """A page of full rows that match, and the UID that the search has reached."""

    rows: Sequence[Stored]
    reached: Uid


class Searcher:
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
        """Yield the entries that match, ascending by UID, a page at a time.

        Args:
            scope: the messages to search.
            key: the search key; the session must have replaced `InSequenceSet` and `\\Recent` by `Uids`.

        Raises:
            SearchTooComplex: it has too many keys.
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
        """Yield the full rows that match, as `entries` does."""
        where, rest = _divided(key)
        if rest.keys:
            yield from self._judged(scope, where, rest)
            return
        for judged in self._lookup.matching_rows(
            scope.mailbox, where, page=_PAGE, below=scope.below, since=scope.since
        ):
            yield RowHits([row for row, _truths in judged], judged[-1].row.uid)

    def _judged(self, scope: Scope, where: Condition, rest: keys.And) -> Iterator[RowHits]:
        """Yield the rows that meet a condition and the rest of the key, which the database cannot decide alone."""
        judge = _Judge(rest, self._index, self._indexing, self._answers, self._reader)
        candidates = self._candidates(scope.mailbox, rest)
        if candidates is not None and len(candidates) > max(_BATCH, scope.exists // 4):
            judge.among, candidates = candidates, None  # reading all rows in order is faster than looking up so many
        pages = self._lookup.matching_rows(
            scope.mailbox,
            where,
            judge.conditions,
            page=_BATCH,
            below=scope.below,
            since=scope.since,
            among=candidates,
        )
        for page in pages:
            yield RowHits(judge.chosen(page), page[-1].row.uid)

    # What the index knows

    def _candidates(self, mailbox: MailboxId, key: SearchKey) -> set[MessageId] | None:
        """Return the candidates for a key, indexed or not; None if every message is one.

        Nothing is indexed for it: mail that waits in other mailboxes must not delay the search of this one.
        """
        if not mentions(key, keys.HeaderHas, keys.AddressesHave, keys.BodyHas):
            return None
        self._indexing.keep_texts()
        # Asked before and after, because other sessions may fill or empty the index meanwhile.
        incarnation, unindexed_before = self._index.incarnation(), self._indexing.unindexed(mailbox)
        indexed = self._indexed_candidates(key)
        unindexed_after = self._indexing.unindexed(mailbox)
        if indexed is None or incarnation is None or self._index.incarnation() != incarnation:
            return None
        return indexed | unindexed_before | unindexed_after

    def _indexed_candidates(self, key: SearchKey) -> set[MessageId] | None:
        """Return the indexed messages that may match; None if the index cannot rule out any."""
        match key:
            case keys.HeaderHas(text=text) | keys.AddressesHave(text=text) | keys.BodyHas(text=text):
                return self._index.candidates(search_form(text))
            case keys.And(inner_keys):
                sets = [each for each in map(self._indexed_candidates, inner_keys) if each is not None]
                return set.intersection(*sets) if sets else None
            case keys.Or(inner_keys):
                alternatives = [self._indexed_candidates(inner) for inner in inner_keys]
                sets = [each for each in alternatives if each is not None]
                return set().union(*sets) if len(sets) == len(alternatives) else None
            case (
                keys.All()
                | keys.Not()
                | keys.HasFlag()
                | keys.InSequenceSet()
                | keys.Uids()
                | keys.Size()
                | keys.Dated()
                | keys.ModSeqSince()
                | keys.Within()
                | keys.ObjectId()
            ):
                return None
            case _:
                assert_never(key)


def _divided(key: SearchKey) -> tuple[Condition, keys.And]:
    """Divide a key into a condition, which the database decides, and the rest; both must hold."""
    conjuncts = key.keys if isinstance(key, keys.And) else (key,)
    where = all_of(*map(condition, conjuncts), *map(hull, conjuncts))
    return where, keys.And(tuple(each for each in conjuncts if condition(each) is None))


def _cost(key: SearchKey) -> int:
    """Estimate what testing a key costs: 0 if the row decides it, more if something has to be read."""
    match key:
        case keys.Not(inner):
            return _cost(inner)
        case keys.Or(inner_keys) | keys.And(inner_keys):
            return max(map(_cost, inner_keys), default=0)
        case keys.Dated(source="SENT"):
            return 1
        case keys.HeaderHas() | keys.AddressesHave():
            return 2
        case keys.BodyHas():
            return 3
        case (
            keys.All()
            | keys.HasFlag()
            | keys.InSequenceSet()
            | keys.Uids()
            | keys.Size()
            | keys.Dated()
            | keys.ModSeqSince()
            | keys.Within()
            | keys.ObjectId()
        ):
            return 0
        case _:
            assert_never(key)


class _Candidate:
    """A message that may match. Its header and texts are read, unless they were given, when they are first needed."""

    __slots__ = ("_header", "_judge", "_message", "_raw_header", "_texts", "row", "truths")

    def __init__(
        self, judge: _Judge, judged: JudgedRow, raw_header: bytes | None = None, texts: SearchTexts | None = None
    ) -> None:
        self.row, self.truths = judged
        self._judge = judge
        self._raw_header = raw_header
        self._texts = texts
        self._header: Header | None = None
        self._message: Message | None = None

    @property
    def header(self) -> Header:
        """The top-level header. Raises MessageGone."""
        if self._header is None:
            if self._raw_header is None:
                raise MessageGone("the message was purged, or cannot be read")
            self._header = Header(self._raw_header)
        return self._header

    def has_text(self, wanted: str, *, header: bool) -> bool:
        """Whether the body contains a text in search form, or, with `header`, whether anything does.

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
        """Open the message to read its texts; it stays open, so that texts too long to be held can be read later."""
        self._message = self._judge.reader.read(self.row.message)
        self._texts = self._message.search_texts()
        if self._texts is not None and not self._message.is_note:
            self._judge.indexing.remember_texts(self.row.message, self._texts)

    def close(self) -> None:
        """Close the message, if it was opened."""
        if self._message is not None:
            self._message.close()


Test = Callable[[_Candidate], bool]


class _Judge:
    """Decides of each message whether it matches the part of a key that the database cannot decide alone."""

    def __init__(
        self, key: keys.And, index: Index, indexing: Indexing, answers: Answers, reader: MessageReader
    ) -> None:
        self.indexing = indexing
        self.reader = reader
        self._index = index
        self._answers = answers
        self._columns: dict[Condition, int] = {}
        self._cheap = self._compiled(keys.And(tuple(part for part in key.keys if not _cost(part))))
        self._test = self._compiled(keys.And(tuple(part for part in key.keys if _cost(part))))
        self._needs_texts = mentions(key, keys.BodyHas)
        self._needs_headers = mentions(key, keys.HeaderHas, keys.AddressesHave, keys.Dated)
        self.among: Container[MessageId] | None = None
        """The candidates; None if every message is one."""

    @property
    def conditions(self) -> list[Condition]:
        """The conditions whose truth the database must give with each row."""
        return list(self._columns)

    def chosen(self, page: Sequence[JudgedRow]) -> list[Stored]:
        """Return the rows that match: test first what costs nothing, then read what is left in portions."""
        among = self.among
        likely_rows = [
            judged
            for judged in page
            if (among is None or judged.row.message in among) and self._cheap(_Candidate(self, judged))
        ]
        runs = portions(likely_rows, lambda judged: judged.row.size)
        return [row for run in runs for row in self._read(run)]

    def _read(self, page: Sequence[JudgedRow]) -> Iterator[Stored]:
        """Yield the rows that match by their headers and texts, which are fetched for all of them together."""
        messages = [judged.row.message for judged in page]
        texts = self._index.texts(messages) if self._needs_texts else {}
        headers = self._answers.headers(messages) if self._needs_headers else {}
        for judged in page:
            message = judged.row.message
            if _matches(_Candidate(self, judged, headers.get(message), texts.get(message)), self._test):
                yield judged.row

    def _compiled(self, key: SearchKey) -> Test:
        """Compile a key into a function; what the database can decide becomes one of the `conditions`."""
        decided = condition(key)
        if decided is not None:
            at = self._columns.setdefault(decided, len(self._columns))
            if at >= _MAX_CONDITIONS:
                raise SearchTooComplex(f"a search can have at most {_MAX_CONDITIONS} keys beside those for text")
            return lambda candidate: bool(candidate.truths[at])
        match key:
            case keys.Not(inner):
                negated = self._compiled(inner)
                return lambda candidate: not negated(candidate)
            case keys.Or(inner_keys):
                alternatives = [self._compiled(each) for each in sorted(inner_keys, key=_cost)]
                return lambda candidate: any(test(candidate) for test in alternatives)
            case keys.And(inner_keys):
                tests = [self._compiled(each) for each in sorted(inner_keys, key=_cost)]
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
                | keys.InSequenceSet()
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
    except (MessageGone, MessageUnavailable):
        return False  # a message that is gone or unreadable contains nothing that could match
    finally:
        candidate.close()


_RELATIONS: dict[str, Callable[[date, date], bool]] = {
    "BEFORE": lambda sent, day: sent < day,
    "ON": lambda sent, day: sent == day,
    "SINCE": lambda sent, day: sent >= day,
}


def _sent(relation: str, day: date) -> Test:
    """Test the day of the Date field; a message without a usable one counts as sent before every day."""
    holds = _RELATIONS[relation]
    return lambda candidate: holds(sent_day(candidate.header.first(b"date")) or date.min, day)


def _field_has(name: str, text: str, texts: Callable[[bytes], list[str]]) -> Test:
    """Test whether one of the texts of a field contains a text; an empty text tests whether the field is there."""
    wanted, field = search_form(text), name.lower().encode("utf-8", "replace")

    def test(candidate: _Candidate) -> bool:
        return any(
            not wanted or any(wanted in search_form(form) for form in texts(value))
            for value in candidate.header.values(field)
        )

    return test
