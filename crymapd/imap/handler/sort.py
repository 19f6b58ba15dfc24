"""SORT and THREAD (RFC 5256, RFC 5957, ESORT of RFC 5267): everything they compare is in the index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from crymapd.imap.command import search as command
from crymapd.imap.handler.matching import Hits, matching_rows, mentions_modseq
from crymapd.imap.handler.search import extended, plain, saving, told_of
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
from crymapd.store.rows import Stored, portions

Numbered = tuple[SeqNum, Stored]
"""A message by its sequence number."""


def handle_sort(session: Session, asked: command.Sort) -> Done:
    returns, with_modseq = asked.returns, mentions_modseq(asked.key)
    if with_modseq:
        session.enable_condstore()
    unordered = saving(session, returns, lambda: list(matching_rows(session, asked.key)))
    ordered = _sorted(session, unordered, asked.criteria)
    hits = Hits(
        [number for number, _row in ordered],
        [row.uid for _number, row in ordered],
        [row.modseq for _number, row in ordered],
    )
    if returns is None:
        plain(session, b"SORT", hits, uid=asked.uid, with_modseq=with_modseq)
        return ok()
    told = told_of(hits, returns)
    numbers = ",".join(map(str, told.names(uid=asked.uid)))  # RFC 5267: the order is the answer
    extended(session, returns, hits, told, numbers, uid=asked.uid, with_modseq=with_modseq)
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
    answer = thread_list(build(messages))
    session.line(b"THREAD", b" " + answer if answer else b"")
    return ok()


def _threadable(number: int, row: Stored, header: Header) -> Threadable:
    subject, answers = base_subject(header.first(b"subject"))
    return Threadable(
        number, _sent(row, header), collation_key(subject), answers, message_id(header), tuple(parents(header))
    )


def _with_headers(session: Session, rows: Sequence[Numbered]) -> Iterator[tuple[Numbered, Header]]:
    """Each message with its header block; one that is gone has an empty one."""
    for some in portions(rows, lambda numbered: numbered[1].size):
        headers = session.store.headers([row.message for _number, row in some])
        for number, row in some:
            yield (number, row), Header(headers.get(row.message, b""))


# Sort keys (RFC 5256 section 3)

Key = Callable[[Stored, Header], Any]


def _sent(row: Stored, header: Header) -> int:
    """Section 2.2: the Date field in UTC, else the INTERNALDATE."""
    moment = sent_moment(header.first(b"date"))
    return row.received if moment is None else moment


def _subject(_row: Stored, header: Header) -> str:
    return collation_key(base_subject(header.first(b"subject"))[0])


def _mailbox(field: bytes) -> Key:
    """The local part of the first address."""

    def key(_row: Stored, header: Header) -> str:
        first = _first_address(header, field)
        return collation_key("" if first is None else decode(first.mailbox or b"", None))

    return key


def _display(field: bytes) -> Key:
    """RFC 5957 section 3: the display name, else local@domain, else what there is of the first address."""

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
    found = addresses.parse(value) if value else []
    return found[0] if found else None


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
"""Whether the key needs the header, and the key."""


def _sorted(session: Session, rows: Sequence[Numbered], criteria: Sequence[tuple[bytes, bool]]) -> list[Numbered]:
    """Order by the criteria, the last first: Python's sort keeps the order of equals, in reverse too."""
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
