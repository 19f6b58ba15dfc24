"""Commands on messages other than FETCH and SEARCH (RFC 9051 sections 6.4.3 to 6.4.9, RFC 7162)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.model.flags import StoreMode
from crymapd.model.sequence import SequenceSet

_APPEND_OR_REPLACE = re.compile(rb"[^ ]+ +(?:UID +)?(?:APPEND|REPLACE) ", re.IGNORECASE)
_UP_TO_MAILBOX = re.compile(rb"[^ ]+ +(?:APPEND|(?:UID +)?REPLACE +[^ ]+) +", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StoreFlags:
    """STORE, which changes the flags of messages.

    Attributes:
        sequence_set: the messages, by UIDs if `uid`, else by numbers.
        mode: whether `flags` are added, removed, or take the place of all others.
        flags: flags and keywords, in canonical form.
        silent: whether the client does not want to be told the new flags.
        unchanged_since: leave alone messages that have changed after this modseq (RFC 7162 section 3.1.3).
    """

    sequence_set: SequenceSet
    mode: StoreMode
    flags: frozenset[str]
    silent: bool
    unchanged_since: int | None
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY or, if `move`, MOVE (RFC 6851); `sequence_set` has UIDs if `uid`, else numbers."""

    sequence_set: SequenceSet
    target: str
    move: bool
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Expunge:
    """EXPUNGE, or UID EXPUNGE (RFC 4315) and XVANQUISH, which name UIDs.

    Attributes:
        sequence_set: the UIDs of UID EXPUNGE and XVANQUISH; None for the whole mailbox.
        only_deleted: whether messages without \\Deleted stay; XVANQUISH removes them too.
    """

    sequence_set: SequenceSet | None = None
    only_deleted: bool = True


@dataclass(frozen=True, slots=True)
class AppendTarget:
    """Where the messages of APPEND or REPLACE go.

    Attributes:
        mailbox: the name of the mailbox that takes them.
        replaced: the one message that REPLACE (RFC 8508) removes, by UID if `uid`, else by number; None for APPEND.
    """

    mailbox: str
    replaced: SequenceSet | None = None
    uid: bool = False


@dataclass(frozen=True, slots=True)
class AppendHead:
    """What APPEND says about one message before it.

    Attributes:
        flags: flags and keywords, in canonical form.
        received: the INTERNALDATE; None for the current time.
        utf8: whether the message comes within `UTF8 (...)` (RFC 6855 section 4).
    """

    flags: frozenset[str]
    received: datetime | None
    utf8: bool


def store(reader: Reader) -> StoreFlags:
    reader.space()
    sequence_set = reader.sequence_set()
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
    return StoreFlags(sequence_set, mode, flags, silent, unchanged_since)


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
    sequence_set = reader.sequence_set()
    reader.space()
    return Copy(sequence_set, reader.mailbox(), move)


def expunge(_reader: Reader) -> Expunge:
    return Expunge()


def uid_expunge(reader: Reader) -> Expunge:
    reader.space()
    return Expunge(reader.sequence_set())


def vanquish(reader: Reader) -> Expunge:
    reader.space()
    return Expunge(reader.sequence_set(), only_deleted=False)


def message_follows(fragments: list[bytes]) -> bool:
    """Return whether the literal that follows these fragments of a command is a message of APPEND or REPLACE.

    The only other literal of these commands is the name of the mailbox, which comes first.

    Args:
        fragments: line, literal, ..., line; the last line without the announcement of the literal.
    """
    line = fragments[0]
    if len(fragments) > 3 or not _APPEND_OR_REPLACE.match(line):
        return False
    return len(fragments) == 3 or not _UP_TO_MAILBOX.fullmatch(line)


def append_without_message(_reader: Reader) -> NoReturn:
    """Refuse an APPEND or REPLACE that has ended without a message.

    Raises:
        BadSyntax: always.
    """
    raise BadSyntax("APPEND and REPLACE expect a literal with the message")


def append_target(reader: Reader) -> AppendTarget:
    """Read an APPEND or REPLACE from its tag up to the name of the mailbox."""
    reader.tag()
    reader.space()
    uid = reader.try_text(b"UID ")
    if not uid and reader.try_text(b"APPEND "):
        return AppendTarget(reader.mailbox())
    reader.text(b"REPLACE ")
    replaced = reader.sequence_set()
    if replaced.saved or len(replaced.ranges) != 1 or len(set(replaced.ranges[0])) != 1:
        raise BadSyntax("REPLACE expects the number or UID of one message")
    reader.space()
    return AppendTarget(reader.mailbox(), replaced, uid)


def append_head(reader: Reader) -> AppendHead:
    """Read ` [flags ][date-time ][UTF8 (]`, which comes before the announcement of the literal."""
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
        raise BadSyntax("APPEND expects flags and a date-time, both optional, and then a literal")
    return AppendHead(flags, received, utf8)
