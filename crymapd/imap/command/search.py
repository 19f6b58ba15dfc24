"""SEARCH (RFC 9051 section 6.4.4), SORT and THREAD (RFC 5256), and options for their results (RFC 4731, RFC 9394)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crymapd.imap.wire.reader import BadSyntax, Reader, TooMany
from crymapd.imap.wire.tolerance import search_text
from crymapd.mime.charsets import charset as charset_named
from crymapd.mime.charsets import decode
from crymapd.model import search as keys
from crymapd.model.flags import ANSWERED, DELETED, DRAFT, FLAGGED, RECENT, SEEN
from crymapd.model.search import SearchKey
from crymapd.model.sequence import Range

MAX_DEPTH = 100
MAX_KEYS = 5000


@dataclass(frozen=True, slots=True)
class Returns:
    """RETURN (...), which says how much of the result the client wants (RFC 4731, RFC 5182, RFC 9394).

    Attributes:
        options: some of MIN, MAX, ALL, COUNT and SAVE.
        partial: the hits to be listed, which are counted from 1, or from -1 backwards; None if PARTIAL was not given.
    """

    options: frozenset[bytes]
    partial: Range[int] | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """SEARCH or, if `uid`, UID SEARCH.

    Attributes:
        key: what the messages must match.
        returns: the result options; None if the client did not give RETURN.
    """

    key: SearchKey
    returns: Returns | None = None
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Sort:
    """SORT or, if `uid`, UID SORT.

    Attributes:
        criteria: pairs of a sort key and whether its order is reversed, the most important first.
        key: what the messages must match.
        returns: the result options; None if the client did not give RETURN.
    """

    criteria: tuple[tuple[bytes, bool], ...]
    key: SearchKey
    returns: Returns | None = None
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Thread:
    """THREAD or, if `uid`, UID THREAD; `algorithm` is REFERENCES or ORDEREDSUBJECT."""

    algorithm: bytes
    key: SearchKey
    uid: bool = False


SORT_KEYS = (
    b"ARRIVAL",
    b"CC",
    b"DATE",
    b"FROM",
    b"SIZE",
    b"SUBJECT",
    b"TO",
    b"DISPLAYFROM",
    b"DISPLAYTO",
)
ALGORITHMS = (b"REFERENCES", b"ORDEREDSUBJECT")
_RETURNS = frozenset((b"MIN", b"MAX", b"ALL", b"COUNT", b"SAVE"))
MAX_CRITERIA = 20


class BadCharset(Exception):
    """A search names a charset that nobody knows.

    Attributes:
        saving: whether the result was to be saved as `$` (RFC 5182 section 2.1).
    """

    def __init__(self, label: bytes, *, saving: bool) -> None:
        super().__init__(label.decode("ascii", "replace")[:40])
        self.saving = saving


class TooManyKeys(Exception):
    """A search has more keys, or more ranges in them, than are read; the text is for the client.

    Attributes:
        saving: as for `BadCharset`.
    """

    def __init__(self, text: str, *, saving: bool) -> None:
        super().__init__(text)
        self.saving = saving


class _Context:
    """What the functions that read search keys share: the reader, the charset of strings, and the count of keys."""

    def __init__(self, reader: Reader, charset: str) -> None:
        self.reader = reader
        self.charset = charset
        self.count = 0

    def text(self) -> str:
        self.reader.space()
        octets = self.reader.search_string()
        return search_text(octets) if self.charset == "utf-8" else decode(octets, self.charset)


def search(reader: Reader) -> Search:
    """Read `SEARCH [RETURN (...)] [CHARSET x] key...`."""
    returns = _returns(reader) if reader.try_text(b" RETURN ") else None
    charset = "utf-8"
    reader.space()
    if reader.try_text(b"CHARSET "):
        if reader.utf8_only:
            raise BadSyntax("after ENABLE UTF8=ACCEPT SEARCH expects no CHARSET (RFC 6855 section 3)")
        charset = _charset(reader.astring(), returns)
        reader.space()
    return Search(_keys(reader, charset, returns), returns)


def sort(reader: Reader) -> Sort:
    """Read `SORT [RETURN (...)] (criteria) charset key...`."""
    returns = _returns(reader) if reader.try_text(b" RETURN ") else None
    reader.text(b" (")
    criteria: list[tuple[bytes, bool]] = []
    while not reader.try_text(b")"):
        word = reader.word()
        is_reversed = word == b"REVERSE"
        if is_reversed:
            reader.space()
            word = reader.word()
        if word not in SORT_KEYS or len(criteria) >= MAX_CRITERIA:
            raise BadSyntax(f"SORT expects [REVERSE] and some of {b' '.join(SORT_KEYS).decode()}")
        criteria.append((word, is_reversed))
        if reader.peek() != b")":
            reader.space()
    if not criteria:
        raise BadSyntax("SORT expects at least one criterion")
    reader.space()
    charset = _charset(reader.astring(), returns)
    reader.space()
    return Sort(tuple(criteria), _keys(reader, charset, returns), returns)


def thread(reader: Reader) -> Thread:
    """Read `THREAD algorithm charset key...`."""
    reader.space()
    algorithm = reader.word()
    if algorithm not in ALGORITHMS:
        raise BadSyntax(f"THREAD expects one of {b' '.join(ALGORITHMS).decode()}")
    reader.space()
    charset = _charset(reader.astring(), None)
    reader.space()
    return Thread(algorithm, _keys(reader, charset, None))


def _returns(reader: Reader) -> Returns:
    """Read `(MIN MAX PARTIAL 1:100)`; an empty list means ALL (RFC 4731 section 3.1)."""
    reader.text(b"(")
    options: set[bytes] = set()
    partial: Range[int] | None = None
    while not reader.try_text(b")"):
        word = reader.word()
        if word == b"PARTIAL" and partial is None:
            reader.space()
            partial = reader.partial_range()
        elif word in _RETURNS:
            options.add(word)
        else:
            raise BadSyntax("RETURN expects MIN, MAX, ALL, COUNT, SAVE or PARTIAL with a range")
        if reader.peek() != b")":
            reader.space()
    if partial is not None and b"ALL" in options:
        raise BadSyntax("RETURN expects PARTIAL or ALL, not both")
    if not options and partial is None:
        options.add(b"ALL")
    return Returns(frozenset(options), partial)


def _keys(reader: Reader, charset: str, returns: Returns | None) -> SearchKey:
    context = _Context(reader, charset)
    try:
        conjuncts = [_key(context, 0)]
        while reader.try_text(b" "):
            if reader.at_end():
                break
            conjuncts.append(_key(context, 0))
    except TooMany as error:
        raise TooManyKeys(str(error), saving=saves(returns)) from None
    return conjuncts[0] if len(conjuncts) == 1 else keys.And(tuple(conjuncts))


def saves(returns: Returns | None) -> bool:
    """Return whether the result is to be saved as `$`."""
    return returns is not None and b"SAVE" in returns.options


def _charset(label: bytes, returns: Returns | None) -> str:
    name = charset_named(label)
    if name is None:
        raise BadCharset(label, saving=saves(returns))
    return name


def _key(context: _Context, depth: int) -> SearchKey:
    context.count += 1
    if depth > MAX_DEPTH or context.count > MAX_KEYS:
        raise TooMany(f"a search has at most {MAX_KEYS} keys, nested at most {MAX_DEPTH} deep")
    reader = context.reader
    if reader.try_text(b"("):
        conjuncts = [_key(context, depth + 1)]
        while not reader.try_text(b")"):
            reader.space()
            conjuncts.append(_key(context, depth + 1))
        return conjuncts[0] if len(conjuncts) == 1 else keys.And(tuple(conjuncts))
    if reader.peek() in b"0123456789*$" and reader.peek():
        return keys.InSequenceSet(reader.sequence_set(), uid=False)
    word = reader.word()
    if word == b"NOT":
        reader.space()
        return keys.Not(_key(context, depth + 1))
    if word == b"OR":
        return _alternatives(context, depth + 1)
    if word in _PLAIN:
        return _PLAIN[word]
    if word in _WITH_ARGUMENT:
        return _WITH_ARGUMENT[word](context)
    raise BadSyntax(f"SEARCH does not know {word.decode('ascii', 'replace')[:40]}")


def _alternatives(context: _Context, depth: int) -> SearchKey:
    """Read the two keys after OR; the chain `OR a OR b OR c d`, as clients write a list, does not count as nesting."""
    context.reader.space()
    alternatives = [_key(context, depth)]
    context.reader.space()
    while context.reader.try_text(b"OR "):
        context.count += 1
        alternatives.append(_key(context, depth))
        context.reader.space()
    alternatives.append(_key(context, depth))
    return keys.Or(tuple(alternatives))


_PLAIN: dict[bytes, SearchKey] = {
    b"ALL": keys.All(),
    b"SAVEDATESUPPORTED": keys.All(),
    b"RECENT": keys.HasFlag(RECENT),
    b"OLD": keys.Not(keys.HasFlag(RECENT)),
    b"NEW": keys.And((keys.HasFlag(RECENT), keys.Not(keys.HasFlag(SEEN)))),
}
for _flag in (ANSWERED, DELETED, DRAFT, FLAGGED, SEEN):
    _word = _flag[1:].upper().encode()
    _PLAIN[_word] = keys.HasFlag(_flag)
    _PLAIN[b"UN" + _word] = keys.Not(keys.HasFlag(_flag))


def _header(name: str) -> Callable[[_Context], SearchKey]:
    return lambda context: keys.HeaderHas(name, context.text())


def _addresses(name: str) -> Callable[[_Context], SearchKey]:
    return lambda context: keys.AddressesHave(name, context.text())


def _any_header(context: _Context) -> SearchKey:
    name = context.text()
    return keys.HeaderHas(name, context.text())


def _dated(source: str, relation: str) -> Callable[[_Context], SearchKey]:
    def read(context: _Context) -> SearchKey:
        context.reader.space()
        return keys.Dated(source, relation, context.reader.date())

    return read


def _size(larger: bool) -> Callable[[_Context], SearchKey]:
    def read(context: _Context) -> SearchKey:
        context.reader.space()
        return keys.Size(context.reader.number(2**63 - 1), larger)

    return read


def _keyword(context: _Context) -> SearchKey:
    context.reader.space()
    return keys.HasFlag(context.reader.flag())


def _uid(context: _Context) -> SearchKey:
    context.reader.space()
    return keys.InSequenceSet(context.reader.sequence_set(), uid=True)


def _modseq(context: _Context) -> SearchKey:
    """Read `MODSEQ ["/flags/x" all] n`.

    The name of the entry is ignored, because all flags of a message share one modseq.
    """
    reader = context.reader
    reader.space()
    if reader.try_string() is not None:
        reader.space()
        if reader.word() not in (b"PRIV", b"SHARED", b"ALL"):
            raise BadSyntax("MODSEQ expects priv, shared or all after the entry name")
        reader.space()
    return keys.ModSeqSince(reader.modseq())


def _within(older: bool) -> Callable[[_Context], SearchKey]:
    def read(context: _Context) -> SearchKey:
        context.reader.space()
        seconds = context.reader.number()
        if not seconds:
            raise BadSyntax("OLDER and YOUNGER expect seconds, at least 1")
        return keys.Within(seconds, older)

    return read


def _object_id(thread: bool) -> Callable[[_Context], SearchKey]:
    def read(context: _Context) -> SearchKey:
        context.reader.space()
        return keys.ObjectId(context.reader.astring().decode("ascii", "replace"), thread)

    return read


_WITH_ARGUMENT: dict[bytes, Callable[[_Context], SearchKey]] = {
    b"BCC": _addresses("bcc"),
    b"CC": _addresses("cc"),
    b"FROM": _addresses("from"),
    b"TO": _addresses("to"),
    b"SUBJECT": _header("subject"),
    b"HEADER": _any_header,
    b"BODY": lambda context: keys.BodyHas(context.text(), header=False),
    b"TEXT": lambda context: keys.BodyHas(context.text(), header=True),
    b"BEFORE": _dated("INTERNAL", "BEFORE"),
    b"ON": _dated("INTERNAL", "ON"),
    b"SINCE": _dated("INTERNAL", "SINCE"),
    b"SAVEDBEFORE": _dated("SAVED", "BEFORE"),
    b"SAVEDON": _dated("SAVED", "ON"),
    b"SAVEDSINCE": _dated("SAVED", "SINCE"),
    b"SENTBEFORE": _dated("SENT", "BEFORE"),
    b"SENTON": _dated("SENT", "ON"),
    b"SENTSINCE": _dated("SENT", "SINCE"),
    b"OLDER": _within(True),
    b"YOUNGER": _within(False),
    b"EMAILID": _object_id(False),
    b"THREADID": _object_id(True),
    b"LARGER": _size(True),
    b"SMALLER": _size(False),
    b"KEYWORD": _keyword,
    b"UNKEYWORD": lambda context: keys.Not(_keyword(context)),
    b"UID": _uid,
    b"MODSEQ": _modseq,
}
