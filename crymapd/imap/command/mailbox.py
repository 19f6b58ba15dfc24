"""Commands about mailboxes (RFC 9051 section 6.3, RFC 6154)."""

from __future__ import annotations

from dataclasses import dataclass

from crymapd.imap.wire.reader import BadSyntax, Reader


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT, or with `read_only` EXAMINE."""

    name: str
    read_only: bool
    condstore: bool


@dataclass(frozen=True, slots=True)
class Create:
    name: str
    uses: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    name: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    name: str


@dataclass(frozen=True, slots=True)
class List:
    """LIST, or with `subscribed` LSUB."""

    reference: str
    pattern: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class Status:
    name: str
    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """CLOSE, or without `expunge` UNSELECT (RFC 3691)."""

    expunge: bool


STATUS_ITEMS = (b"MESSAGES", b"RECENT", b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN", b"HIGHESTMODSEQ")


def select(reader: Reader) -> Select:
    return _select(reader, read_only=False)


def examine(reader: Reader) -> Select:
    return _select(reader, read_only=True)


def _select(reader: Reader, *, read_only: bool) -> Select:
    reader.space()
    name = reader.mailbox()
    condstore = False
    if reader.try_text(b" ("):
        reader.text(b"CONDSTORE)")
        condstore = True
    return Select(name, read_only, condstore)


def create(reader: Reader) -> Create:
    reader.space()
    name = reader.mailbox()
    uses: list[bytes] = []
    if reader.try_text(b" ("):
        reader.text(b"USE (")
        while not reader.try_text(b")"):
            uses.append(reader.use_attribute())
            reader.try_text(b" ")
        reader.text(b")")
    return Create(name, tuple(uses))


def _named(reader: Reader) -> str:
    reader.space()
    return reader.mailbox()


def delete(reader: Reader) -> Delete:
    return Delete(_named(reader))


def rename(reader: Reader) -> Rename:
    return Rename(_named(reader), _named(reader))


def subscribe(reader: Reader) -> Subscribe:
    return Subscribe(_named(reader))


def unsubscribe(reader: Reader) -> Unsubscribe:
    return Unsubscribe(_named(reader))


def list_(reader: Reader) -> List:
    return _list(reader, subscribed=False)


def lsub(reader: Reader) -> List:
    return _list(reader, subscribed=True)


def _list(reader: Reader, *, subscribed: bool) -> List:
    reference = _named(reader)
    reader.space()
    return List(reference, reader.list_pattern(), subscribed)


def status(reader: Reader) -> Status:
    name = _named(reader)
    reader.text(b" (")
    items: list[bytes] = []
    while not reader.try_text(b")"):
        item = reader.keyword()
        if item not in STATUS_ITEMS:
            raise BadSyntax(f"STATUS expects some of {b' '.join(STATUS_ITEMS).decode()}")
        items.append(item)
        if reader.peek() != b")":
            reader.space()
    if not items:
        raise BadSyntax("STATUS expects at least one item")
    return Status(name, tuple(items))
