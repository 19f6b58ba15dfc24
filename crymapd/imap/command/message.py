"""Commands on messages other than FETCH and SEARCH (RFC 9051 sections 6.4.3 to 6.4.9, RFC 7162)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.model.flags import StoreMode
from crymapd.model.sequence import SequenceSet


@dataclass(frozen=True, slots=True)
class Store:
    numbers: SequenceSet
    mode: StoreMode
    flags: frozenset[str]
    silent: bool
    unchanged_since: int | None
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY, or with `move` MOVE (RFC 6851)."""

    numbers: SequenceSet
    target: str
    move: bool
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Expunge:
    """EXPUNGE, with `numbers` UID EXPUNGE (RFC 4315), and XVANQUISH, which asks for no \\Deleted."""

    numbers: SequenceSet | None = None
    only_deleted: bool = True


@dataclass(frozen=True, slots=True)
class AppendTarget:
    """Where APPEND puts its messages, and what REPLACE (RFC 8508) removes for it."""

    mailbox: str
    replaced: SequenceSet | None = None
    uid: bool = False


@dataclass(frozen=True, slots=True)
class AppendHead:
    """What comes before a message in APPEND; `utf8`: it is in `UTF8 (...)` (RFC 6855 section 4)."""

    flags: frozenset[str]
    received: datetime | None
    utf8: bool


def store(reader: Reader) -> Store:
    reader.space()
    numbers = reader.sequence_set()
    reader.space()
    unchanged_since = None
    if reader.try_text(b"("):
        reader.text(b"UNCHANGEDSINCE ")
        unchanged_since = reader.modseq()
        reader.text(b") ")
    mode = _mode(reader)
    silent = reader.try_text(b".SILENT")
    reader.space()
    flags = reader.flag_list() if reader.peek() == b"(" else reader.bare_flags()
    return Store(numbers, mode, flags, silent, unchanged_since)


def _mode(reader: Reader) -> StoreMode:
    for mode in (StoreMode.ADD, StoreMode.REMOVE, StoreMode.REPLACE):
        if reader.try_text(mode.value.encode()):
            return mode
    raise BadSyntax("STORE expects FLAGS, +FLAGS or -FLAGS")


def copy(reader: Reader) -> Copy:
    return _copy(reader, move=False)


def move(reader: Reader) -> Copy:
    return _copy(reader, move=True)


def _copy(reader: Reader, *, move: bool) -> Copy:
    reader.space()
    numbers = reader.sequence_set()
    reader.space()
    return Copy(numbers, reader.mailbox(), move)


def expunge(_reader: Reader) -> Expunge:
    return Expunge()


def uid_expunge(reader: Reader) -> Expunge:
    reader.space()
    return Expunge(reader.sequence_set())


def vanquish(reader: Reader) -> Expunge:
    reader.space()
    return Expunge(reader.sequence_set(), only_deleted=False)


def append_without_message(_reader: Reader) -> NoReturn:
    """An APPEND or REPLACE that came to its end without any message."""
    raise BadSyntax("APPEND and REPLACE expect a literal with the message")


def append_target(reader: Reader) -> AppendTarget:
    """The tag, APPEND or REPLACE with the message to replace, and the mailbox."""
    reader.tag()
    reader.space()
    uid = reader.try_text(b"UID ")
    if not uid and reader.try_text(b"APPEND "):
        return AppendTarget(reader.mailbox())
    reader.text(b"REPLACE ")
    replaced = reader.sequence_set()
    if replaced.saved or len(replaced.ranges) != 1 or len(set(replaced.ranges[0])) != 1:
        raise BadSyntax("REPLACE expects the number of one message")
    reader.space()
    return AppendTarget(reader.mailbox(), replaced, uid)


def append_head(reader: Reader) -> AppendHead:
    """` [flags ][date-time ][UTF8 (]`, up to the literal."""
    reader.space()
    flags: frozenset[str] = frozenset()
    received = None
    if reader.peek() == b"(":
        flags = reader.flag_list()
        reader.space()
    if reader.peek() == b'"':
        received = reader.date_time()
        reader.space()
    utf8 = reader.try_text(b"UTF8 (")
    if not reader.at_end():
        raise BadSyntax("APPEND expects [flags] [date-time] and a literal")
    return AppendHead(flags, received, utf8)
