"""SEARCH (RFC 9051 section 6.4.4, RFC 7162 section 3.1.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.mime.encoded_words import charset as known_charset
from crymapd.model import search as keys
from crymapd.model.flags import ANSWERED, DELETED, DRAFT, FLAGGED, RECENT, SEEN
from crymapd.model.search import SearchKey

MAX_DEPTH = 100
MAX_KEYS = 5000


@dataclass(frozen=True, slots=True)
class Search:
    key: SearchKey
    uid: bool = False


class BadCharset(Exception):
    """The charset is none that Python knows."""


class _Context:
    """The charset of the strings, and how much has been read."""

    def __init__(self, reader: Reader, charset: str) -> None:
        self.reader = reader
        self.charset = charset
        self.count = 0

    def text(self) -> str:
        self.reader.space()
        octets = self.reader.astring()
        try:
            return octets.decode(self.charset)
        except (UnicodeError, ValueError):
            return octets.decode("utf-8", "replace")


def search(reader: Reader) -> Search:
    charset = "utf-8"
    reader.space()
    if reader.try_text(b"CHARSET "):
        charset = _charset(reader.astring())
        reader.space()
    context = _Context(reader, charset)
    found = [_key(context, 0)]
    while reader.try_text(b" "):
        if reader.at_end():
            break
        found.append(_key(context, 0))
    return Search(found[0] if len(found) == 1 else keys.And(tuple(found)))


def _charset(label: bytes) -> str:
    name = known_charset(label)
    if name is None:
        raise BadCharset(label.decode("ascii", "replace")[:40])
    return name


def _key(context: _Context, depth: int) -> SearchKey:
    context.count += 1
    if depth > MAX_DEPTH or context.count > MAX_KEYS:
        raise BadSyntax(f"SEARCH expects at most {MAX_KEYS} keys, nested at most {MAX_DEPTH} deep")
    reader = context.reader
    if reader.try_text(b"("):
        found = [_key(context, depth + 1)]
        while not reader.try_text(b")"):
            reader.space()
            found.append(_key(context, depth + 1))
        return found[0] if len(found) == 1 else keys.And(tuple(found))
    if reader.peek() in b"0123456789*$" and reader.peek():
        return keys.Numbers(reader.sequence_set(), uid=False)
    word = reader.keyword()
    if word == b"NOT":
        reader.space()
        return keys.Not(_key(context, depth + 1))
    if word == b"OR":
        reader.space()
        left = _key(context, depth + 1)
        reader.space()
        return keys.Or(left, _key(context, depth + 1))
    if word in _PLAIN:
        return _PLAIN[word]
    if word in _WITH_ARGUMENT:
        return _WITH_ARGUMENT[word](context)
    raise BadSyntax(f"SEARCH does not know {word.decode('ascii', 'replace')[:40]}")


_PLAIN: dict[bytes, SearchKey] = {
    b"ALL": keys.All(),
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
    return keys.Numbers(context.reader.sequence_set(), uid=True)


def _modseq(context: _Context) -> SearchKey:
    """`MODSEQ ["/flags/x" all] n`: the entry is read and, as flags share one modseq, not needed."""
    reader = context.reader
    reader.space()
    if reader.try_string() is not None:
        reader.space()
        if reader.keyword() not in (b"PRIV", b"SHARED", b"ALL"):
            raise BadSyntax("MODSEQ expects priv, shared or all after the entry name")
        reader.space()
    return keys.ModSeqSince(reader.modseq())


_WITH_ARGUMENT: dict[bytes, Callable[[_Context], SearchKey]] = {
    b"BCC": _header("bcc"),
    b"CC": _header("cc"),
    b"FROM": _header("from"),
    b"TO": _header("to"),
    b"SUBJECT": _header("subject"),
    b"HEADER": _any_header,
    b"BODY": lambda context: keys.BodyHas(context.text(), header=False),
    b"TEXT": lambda context: keys.BodyHas(context.text(), header=True),
    b"BEFORE": _dated("INTERNAL", "BEFORE"),
    b"ON": _dated("INTERNAL", "ON"),
    b"SINCE": _dated("INTERNAL", "SINCE"),
    b"SENTBEFORE": _dated("SENT", "BEFORE"),
    b"SENTON": _dated("SENT", "ON"),
    b"SENTSINCE": _dated("SENT", "SINCE"),
    b"LARGER": _size(True),
    b"SMALLER": _size(False),
    b"KEYWORD": _keyword,
    b"UNKEYWORD": lambda context: keys.Not(_keyword(context)),
    b"UID": _uid,
    b"MODSEQ": _modseq,
}
