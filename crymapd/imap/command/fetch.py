"""FETCH (RFC 9051 section 6.4.5), with what RFC 3516, 7162, 8474, 8514, 8970 and 9394 add."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crymapd.imap.wire import writer
from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.imap.wire.section import FIELDS, FIELDS_NOT, HEADER, MIME, TEXT, WHOLE, Section
from crymapd.model.sequence import Range, SequenceSet

SIMPLE = frozenset(
    (
        b"FLAGS",
        b"INTERNALDATE",
        b"RFC822.SIZE",
        b"ENVELOPE",
        b"BODYSTRUCTURE",
        b"BODY",
        b"UID",
        b"MODSEQ",
        b"SAVEDATE",
        b"EMAILID",
        b"THREADID",
        b"PREVIEW",
    )
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
class BinaryItem:
    """`BINARY[1.2]<start.length>`, decoded; with `size_only` BINARY.SIZE (RFC 9051 section 6.4.5)."""

    path: tuple[int, ...]
    label: bytes
    peek: bool
    size_only: bool = False
    partial: tuple[int, int] | None = None


Item = bytes | SectionItem | BinaryItem


@dataclass(frozen=True, slots=True)
class Fetch:
    """`items` in the client's order: simple names, sections or decoded parts, each once.

    Attributes:
        vanished: with `changed_since`, tell also what went away (RFC 7162 section 3.2.6).
        partial: only these of the messages, counted from 1, or with negative numbers from the last (RFC 9394).
    """

    numbers: SequenceSet
    items: tuple[Item, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: Range[int] | None = None
    uid: bool = False


def fetch(reader: Reader) -> Fetch:
    """FETCH with sequence numbers: the modifiers of UIDs are not for it."""
    found = uid_fetch(reader)
    if found.vanished or found.partial:
        raise BadSyntax("VANISHED and PARTIAL go with UID FETCH")
    return replace(found, uid=False)


def uid_fetch(reader: Reader) -> Fetch:
    reader.space()
    numbers = reader.sequence_set()
    reader.space()
    items = tuple(dict.fromkeys(_items(reader)))
    changed_since, vanished, partial = _modifiers(reader) if reader.try_text(b" (") else (None, False, None)
    return Fetch(numbers, items, changed_since, vanished, partial, uid=True)


def _modifiers(reader: Reader) -> tuple[int | None, bool, Range[int] | None]:
    """`CHANGEDSINCE 7 VANISHED PARTIAL 1:100)`, in any order, each once."""
    changed_since: int | None = None
    partial: Range[int] | None = None
    seen: set[bytes] = set()
    while True:
        name = reader.keyword()
        if name in seen:
            raise BadSyntax(f"{name.decode('ascii')} is given twice")
        seen.add(name)
        if name == b"CHANGEDSINCE":
            reader.space()
            changed_since = reader.modseq()
        elif name == b"PARTIAL":
            reader.space()
            partial = reader.partial_range()
        elif name != b"VANISHED":
            raise BadSyntax("FETCH expects CHANGEDSINCE, VANISHED or PARTIAL as modifiers")
        if reader.try_text(b")"):
            break
        reader.space()
    if b"VANISHED" in seen and changed_since is None:
        raise BadSyntax("VANISHED expects CHANGEDSINCE beside it")
    return changed_since, b"VANISHED" in seen, partial


def _items(reader: Reader) -> list[Item]:
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


def _item(reader: Reader) -> Item:
    name = reader.fetch_name()
    if name in _LEGACY:
        section, peek = _LEGACY[name]
        return SectionItem(section, name, peek)
    if name in (b"BODY", b"BODY.PEEK") and reader.try_text(b"["):
        return _section_item(reader, peek=name == b"BODY.PEEK")
    if name in (b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE"):
        return _binary_item(reader, name)
    if name not in SIMPLE:
        raise BadSyntax(f"FETCH does not know {name.decode('ascii', 'replace')[:40]}")
    if name == b"PREVIEW":
        reader.try_text(b" (LAZY)")  # ours are always at hand; another parenthesis holds modifiers of FETCH
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
    partial = _partial(reader)
    if partial is not None:
        label += b"<%d>" % partial[0]
    return SectionItem(Section(path, what, names), label, peek, partial)


def _partial(reader: Reader) -> tuple[int, int] | None:
    """`<start.length>`; a length of zero is not of the grammar (RFC 9051 section 9)."""
    if not reader.try_text(b"<"):
        return None
    start = reader.number(2**63 - 1)
    reader.text(b".")
    length = reader.number(2**63 - 1)
    if not length:
        raise BadSyntax("a partial expects a length of at least 1")
    reader.text(b">")
    return start, length


def _binary_item(reader: Reader, name: bytes) -> BinaryItem:
    reader.text(b"[")
    path = _path(reader)
    reader.text(b"]")
    numbers = b".".join(b"%d" % number for number in path)
    if name == b"BINARY.SIZE":
        return BinaryItem(path, b"BINARY.SIZE[" + numbers + b"]", peek=True, size_only=True)
    partial = _partial(reader)
    label = b"BINARY[" + numbers + b"]" + (b"" if partial is None else b"<%d>" % partial[0])
    return BinaryItem(path, label, name == b"BINARY.PEEK", partial=partial)


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
