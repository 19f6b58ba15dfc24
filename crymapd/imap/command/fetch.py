"""FETCH (RFC 9051 section 6.4.5, RFC 7162 section 3.1.4)."""

from __future__ import annotations

from dataclasses import dataclass

from crymapd.imap.wire import writer
from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.mime.sections import FIELDS, FIELDS_NOT, HEADER, MIME, TEXT, WHOLE, Section
from crymapd.model.sequence import SequenceSet

SIMPLE = frozenset(
    (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODYSTRUCTURE", b"BODY", b"UID", b"MODSEQ")
)
MACROS = {
    b"ALL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE"),
    b"FAST": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE"),
    b"FULL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY"),
}
_LEGACY = {
    b"RFC822.HEADER": (Section(what=HEADER), True),
    b"RFC822.TEXT": (Section(what=TEXT), False),
    b"RFC822": (Section(), False),
}
MAX_ITEMS = 200
MAX_NAMES = 500
MAX_PATH = 100


@dataclass(frozen=True, slots=True)
class SectionItem:
    """`BODY[section]<start.length>`; `label` is how the answer names it."""

    section: Section
    label: bytes
    peek: bool
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """`items` in the client's order: simple names or sections, each once."""

    numbers: SequenceSet
    items: tuple[bytes | SectionItem, ...]
    changed_since: int | None
    uid: bool = False


def fetch(reader: Reader) -> Fetch:
    reader.space()
    numbers = reader.sequence_set()
    reader.space()
    items = _items(reader)
    changed_since = None
    if reader.try_text(b" ("):
        reader.text(b"CHANGEDSINCE ")
        changed_since = reader.modseq()
        reader.text(b")")
    return Fetch(numbers, tuple(dict.fromkeys(items)), changed_since)


def _items(reader: Reader) -> list[bytes | SectionItem]:
    if not reader.try_text(b"("):
        for macro in (b"ALL", b"FAST", b"FULL"):
            if reader.try_text(macro):
                return list(MACROS[macro])
        return [_item(reader)]
    items = [_item(reader)]
    while not reader.try_text(b")"):
        reader.space()
        items.append(_item(reader))
        if len(items) > MAX_ITEMS:
            raise BadSyntax(f"FETCH expects at most {MAX_ITEMS} items")
    return items


def _item(reader: Reader) -> bytes | SectionItem:
    name = reader.fetch_name()
    if name in _LEGACY:
        section, peek = _LEGACY[name]
        return SectionItem(section, name, peek)
    if name in (b"BODY", b"BODY.PEEK") and reader.try_text(b"["):
        return _section_item(reader, peek=name == b"BODY.PEEK")
    if name not in SIMPLE:
        raise BadSyntax(f"FETCH does not know {name.decode('ascii', 'replace')[:40]}")
    return name


def _section_item(reader: Reader, *, peek: bool) -> SectionItem:
    path = _path(reader)
    what, shown = WHOLE, b""
    names: tuple[bytes, ...] = ()
    if reader.peek() != b"]":
        what, names, shown = _what(reader, bool(path))
    reader.text(b"]")
    numbers = b".".join(b"%d" % number for number in path)
    dot = b"." if numbers and shown else b""
    label = b"BODY[" + numbers + dot + shown + b"]"
    partial = None
    if reader.try_text(b"<"):
        start = reader.number(2**63 - 1)
        reader.text(b".")
        partial = start, reader.number(2**63 - 1)
        reader.text(b">")
        label += b"<%d>" % start
    return SectionItem(Section(path, what, names), label, peek, partial)


def _path(reader: Reader) -> tuple[int, ...]:
    """`1.2.3`, with a dot after it when a word follows."""
    path: list[int] = []
    while reader.peek().isdigit():
        path.append(reader.number())
        if not path[-1] or len(path) > MAX_PATH:
            raise BadSyntax("a section expects part numbers from 1, at most 100 deep")
        more = reader.try_text(b".")
        if more == (reader.peek() == b"]"):
            raise BadSyntax("a section expects ] after a part number, or . and what follows")
        if not more:
            break
    return tuple(path)


def _what(reader: Reader, has_path: bool) -> tuple[str, tuple[bytes, ...], bytes]:
    for what in (FIELDS_NOT, FIELDS):
        if reader.try_text(what.encode()):
            reader.text(b" (")
            names = [reader.astring()]
            while not reader.try_text(b")"):
                reader.space()
                names.append(reader.astring())
                if len(names) > MAX_NAMES:
                    raise BadSyntax(f"HEADER.FIELDS expects at most {MAX_NAMES} names")
            shown = what.encode() + b" (" + b" ".join(writer.astring(name) for name in names) + b")"
            return what, tuple(name.lower() for name in names), shown
    for what in (HEADER, TEXT):
        if reader.try_text(what.encode()):
            return what, (), what.encode()
    if has_path and reader.try_text(b"MIME"):
        return MIME, (), b"MIME"
    raise BadSyntax("a section expects HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME")
