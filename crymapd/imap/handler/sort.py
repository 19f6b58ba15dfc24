"""SORT and THREAD (RFC 5256, RFC 5957, ESORT of RFC 5267), which compare only rows and the headers in the index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from crymapd.imap.command import search as command
from crymapd.imap.handler.matching import Hits, matching_rows, mentions_modseq
from crymapd.imap.handler.search import extended, hits_to_list, plain
from crymapd.imap.response import Done, ok
from crymapd.imap.session import Session
from crymapd.imap.wire.thread import thread_list
from crymapd.mime import addresses, threads
from crymapd.mime.charsets import decode
from crymapd.mime.collation import collation_key
from crymapd.mime.dates import sent_moment
from crymapd.mime.encoded_words import decode_words
from crymapd.mime.header import Header
from crymapd.mime.references import message_id, parents
from crymapd.mime.subject import base_subject
from crymapd.mime.threads import Threadable
from crymapd.model.numbers import SeqNum
from crymapd.model.sequence import format_set
from crymapd.store.rows import Stored, portions

NumberedRow = tuple[SeqNum, Stored]
"""A message as its sequence number in this session and its row."""


def handle_sort(session: Session, asked: command.Sort) -> Done:
    returns, with_modseq = asked.returns, mentions_modseq(asked.key)
    if with_modseq:
        session.enable_condstore()
    unordered = list(matching_rows(session, asked.key))
    ordered = _sorted(session, unordered, asked.criteria)
    hits = Hits(
        [number for number, _row in ordered],
        [row.uid for _number, row in ordered],
        [row.modseq for _number, row in ordered],
    )
    if returns is None:
        plain(session, b"SORT", hits, uid=asked.uid, with_modseq=with_modseq)
        return ok()
    listed = hits_to_list(hits, returns)
    listing = format_set(listed.names(uid=asked.uid))  # RFC 5267: in the order of SORT, ascending runs as ranges
    extended(session, returns, hits, listed, listing, uid=asked.uid, with_modseq=with_modseq)
    return ok()


def handle_thread(session: Session, asked: command.Thread) -> Done:
    if mentions_modseq(asked.key):
        session.enable_condstore()
    rows = list(matching_rows(session, asked.key))
    messages = [
        _threadable(row.uid if asked.uid else number, row, header)
        for (number, row), header in _with_headers(session, rows)
    ]
    build = threads.by_references if asked.algorithm == b"REFERENCES" else threads.by_subject
    listed = thread_list(build(messages))
    session.line(b"THREAD", b" " + listed if listed else b"")
    return ok()


def _threadable(name: int, row: Stored, header: Header) -> Threadable:
    """Collect what THREAD compares of a message; `name` is the UID or the number by which the client knows it."""
    subject, is_answer = base_subject(header.first(b"subject"))
    return Threadable(
        name, _sent(row, header), collation_key(subject), is_answer, message_id(header), tuple(parents(header))
    )


def _with_headers(session: Session, rows: Sequence[NumberedRow]) -> Iterator[tuple[NumberedRow, Header]]:
    """Yield each message with its top-level header, which is empty for a message that is gone."""
    for portion in portions(rows, lambda numbered: numbered[1].size):
        headers = session.store.headers([row.message for _number, row in portion])
        for number, row in portion:
            yield (number, row), Header(headers.get(row.message, b""))


# Sort keys (RFC 5256 section 3)

Key = Callable[[Stored, Header], Any]
"""Returns the value by which a message is ordered."""


def _sent(row: Stored, header: Header) -> int:
    """Return the moment of the Date field, else of INTERNALDATE, in seconds since 1970 (RFC 5256 section 2.2)."""
    moment = sent_moment(header.first(b"date"))
    return row.received if moment is None else moment


def _subject(_row: Stored, header: Header) -> str:
    return collation_key(base_subject(header.first(b"subject"))[0])


def _mailbox(field: bytes) -> Key:
    """Order by the local part of the first address in a field."""

    def key(_row: Stored, header: Header) -> str:
        first = _first_address(header, field)
        return collation_key("" if first is None else decode(first.mailbox or b"", None))

    return key


def _display(field: bytes) -> Key:
    """Order by the first address: its display name, else as much as there is of local@domain (RFC 5957 section 3)."""

    def key(_row: Stored, header: Header) -> str:
        first = _first_address(header, field)
        if first is None:
            return ""
        name = decode_words(first.name or b"").strip()
        address = b"@".join(part for part in (first.mailbox, first.host) if part)
        return collation_key(name or decode(address, None))

    return key


def _first_address(header: Header, field: bytes) -> addresses.Address | None:
    value = header.first(field)
    parsed = addresses.parse(value) if value else []
    return parsed[0] if parsed else None


_KEYS: dict[bytes, tuple[bool, Key]] = {
    b"ARRIVAL": (False, lambda row, _header: row.received),
    b"SIZE": (False, lambda row, _header: row.size),
    b"DATE": (True, _sent),
    b"SUBJECT": (True, _subject),
    b"FROM": (True, _mailbox(b"from")),
    b"TO": (True, _mailbox(b"to")),
    b"CC": (True, _mailbox(b"cc")),
    b"DISPLAYFROM": (True, _display(b"from")),
    b"DISPLAYTO": (True, _display(b"to")),
}
"""For each sort key: whether it needs the header, and the function that makes its values."""


def _sorted(session: Session, rows: Sequence[NumberedRow], criteria: Sequence[tuple[bytes, bool]]) -> list[NumberedRow]:
    """Sort by each criterion, the least important first: Python's sort is stable, in reverse too."""
    keys = {name: _KEYS[name] for name, _reverse in criteria}
    needs_header = any(needs for needs, _key in keys.values())
    empty = Header(b"")
    with_headers = _with_headers(session, rows) if needs_header else ((numbered, empty) for numbered in rows)
    values = {
        row.uid: {name: key(row, header) for name, (_needs, key) in keys.items()}
        for (_number, row), header in with_headers
    }
    ordered = list(rows)
    for name, reverse in reversed(criteria):
        ordered.sort(key=lambda numbered, name=name: values[numbered[1].uid][name], reverse=reverse)  # type: ignore[misc]
    return ordered
