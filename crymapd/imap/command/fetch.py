"""FETCH (RFC 9051 section 6.4.5), with what RFC 3516, 7162, 8474, 8514, 8970 and 9394 add to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crymapd.imap.wire import writer
from crymapd.imap.wire.reader import BadSyntax, Reader, TooMany
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
"""Items of older clients: the section that each means, and whether it leaves \\Seen alone."""
MAX_ITEMS = 200
MAX_NAMES = 500
"""The most field names that HEADER.FIELDS may list."""
MAX_PATH = 100
"""The most part numbers that a section may have."""


@dataclass(frozen=True, slots=True)
class SectionItem:
    """An item such as `BODY[section]<start.length>`.

    Attributes:
        section: which octets of the message are meant.
        label: the name of the item in the response.
        peek: whether \\Seen is left alone.
        partial: the start and the length of the octets wanted; None for all of them.
    """

    section: Section
    label: bytes
    peek: bool
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class BinaryItem:
    """An item such as `BINARY[1.2]<start.length>`, or BINARY.SIZE if `size_only` (RFC 9051 section 6.4.5).

    Attributes:
        path: the part numbers; empty for the whole message.
        label: the name of the item in the response.
        peek: whether \\Seen is left alone.
        size_only: whether only the number of decoded octets is wanted.
        partial: the start and the length of the decoded octets wanted; None for all of them.
    """

    path: tuple[int, ...]
    label: bytes
    peek: bool
    size_only: bool = False
    partial: tuple[int, int] | None = None


Item = bytes | SectionItem | BinaryItem


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH or, if `uid`, UID FETCH.

    Attributes:
        sequence_set: the messages, by UIDs if `uid`, else by numbers.
        items: simple names, sections and decoded parts in the client's order, each once.
        changed_since: answer only for messages that have changed after this modseq.
        vanished: tell also which messages were expunged after `changed_since` (RFC 7162 section 3.2.6).
        partial: answer only for these of the messages, which are counted from 1, or from -1 backwards (RFC 9394).
    """

    sequence_set: SequenceSet
    items: tuple[Item, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: Range[int] | None = None
    uid: bool = False


def fetch(reader: Reader) -> Fetch:
    """Read a FETCH by numbers, which cannot have the modifiers that only UID FETCH has."""
    command = uid_fetch(reader)
    if command.vanished or command.partial:
        raise BadSyntax("only UID FETCH takes VANISHED and PARTIAL")
    return replace(command, uid=False)


def uid_fetch(reader: Reader) -> Fetch:
    reader.space()
    sequence_set = reader.sequence_set()
    reader.space()
    items = tuple(dict.fromkeys(_items(reader)))
    changed_since, vanished, partial = _modifiers(reader) if reader.try_text(b" (") else (None, False, None)
    return Fetch(sequence_set, items, changed_since, vanished, partial, uid=True)


def _modifiers(reader: Reader) -> tuple[int | None, bool, Range[int] | None]:
    """Read `CHANGEDSINCE 7 VANISHED PARTIAL 1:100)`, in any order and each at most once."""
    changed_since: int | None = None
    partial: Range[int] | None = None
    names: set[bytes] = set()
    while True:
        name = reader.word()
        if name in names:
            raise BadSyntax(f"{name.decode('ascii')} is given twice")
        names.add(name)
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
    if b"VANISHED" in names and changed_since is None:
        raise BadSyntax("VANISHED expects CHANGEDSINCE too")
    return changed_since, b"VANISHED" in names, partial


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
            raise TooMany(f"FETCH expects at most {MAX_ITEMS} items")
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
        reader.try_text(b" (LAZY)")  # previews are always ready; any other parenthesis holds modifiers of FETCH
    return name


def _section_item(reader: Reader, *, peek: bool) -> SectionItem:
    path = _path(reader)
    what, text = WHOLE, b""
    names: tuple[bytes, ...] = ()
    if reader.peek() != b"]":
        what, names, text = _what(reader, bool(path))
    reader.text(b"]")
    dot = b"." if path and text else b""
    label = b"BODY[" + _path_text(path) + dot + text + b"]"
    partial = _partial(reader)
    if partial is not None:
        label += b"<%d>" % partial[0]
    return SectionItem(Section(path, what, names), label, peek, partial)


def _partial(reader: Reader) -> tuple[int, int] | None:
    """Read `<start.length>` if it comes; the grammar does not allow a length of zero (RFC 9051 section 9)."""
    if not reader.try_text(b"<"):
        return None
    start = reader.number(2**63 - 1)
    reader.text(b".")
    length = reader.number(2**63 - 1)
    if not length:
        raise BadSyntax("a partial FETCH expects a length of at least 1")
    reader.text(b">")
    return start, length


def _binary_item(reader: Reader, name: bytes) -> BinaryItem:
    reader.text(b"[")
    path = _path(reader)
    reader.text(b"]")
    if name == b"BINARY.SIZE":
        return BinaryItem(path, b"BINARY.SIZE[" + _path_text(path) + b"]", peek=True, size_only=True)
    partial = _partial(reader)
    label = b"BINARY[" + _path_text(path) + b"]" + (b"" if partial is None else b"<%d>" % partial[0])
    return BinaryItem(path, label, name == b"BINARY.PEEK", partial=partial)


def _path(reader: Reader) -> tuple[int, ...]:
    """Read part numbers such as `1.2.3`, and the dot after them if a word follows."""
    path: list[int] = []
    while reader.peek().isdigit():
        path.append(reader.number())
        if not path[-1] or len(path) > MAX_PATH:
            raise BadSyntax("a section expects part numbers from 1, at most 100 deep")
        has_dot = reader.try_text(b".")
        if has_dot == (reader.peek() == b"]"):
            raise BadSyntax("a section expects ] after a part number, or . and what follows")
        if not has_dot:
            break
    return tuple(path)


def _path_text(path: tuple[int, ...]) -> bytes:
    return b".".join(b"%d" % part for part in path)


def _what(reader: Reader, has_path: bool) -> tuple[str, tuple[bytes, ...], bytes]:
    """Read the word of a section; returns it, the field names in lower case, and both as the response repeats them."""
    for what in (FIELDS_NOT, FIELDS):
        if reader.try_text(what.encode()):
            reader.text(b" (")
            names = [reader.astring()]
            while not reader.try_text(b")"):
                reader.space()
                names.append(reader.astring())
                if len(names) > MAX_NAMES:
                    raise TooMany(f"HEADER.FIELDS expects at most {MAX_NAMES} names")
            text = what.encode() + b" (" + b" ".join(writer.astring(name) for name in names) + b")"
            return what, tuple(name.lower() for name in names), text
    for what in (HEADER, TEXT):
        if reader.try_text(what.encode()):
            return what, (), what.encode()
    if has_path and reader.try_text(b"MIME"):
        return MIME, (), b"MIME"
    raise BadSyntax("a section expects HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME")
