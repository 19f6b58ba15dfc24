"""Commands about mailboxes (RFC 9051 section 6.3, RFC 5258, RFC 5819, RFC 6154, RFC 7162)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.model.numbers import SeqNum, Uid
from crymapd.model.sequence import SequenceSet, numbers_in


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT, or with `read_only` EXAMINE."""

    name: str
    read_only: bool
    condstore: bool
    resync: Resync | None


@dataclass(frozen=True, slots=True)
class Resync:
    """What the client remembers of the mailbox (RFC 7162 section 3.2.5).

    Attributes:
        uidvalidity: of the mailbox it knew.
        modseq: up to where it had been told.
        known: its UIDs, None for all.
        sample: some sequence numbers with the UIDs that they were, ascending.
    """

    uidvalidity: int
    modseq: int
    known: SequenceSet | None
    sample: tuple[tuple[SeqNum, Uid], ...] = ()


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
    """LIST, LSUB or XLIST.

    Attributes:
        answer: the word of the untagged answers.
        selection: SUBSCRIBED, SPECIAL-USE, RECURSIVEMATCH.
        returns: SUBSCRIBED, CHILDREN, SPECIAL-USE.
        status: the items of RETURN (STATUS (...)) (RFC 5819).
        extended: whether the syntax of RFC 5258 was used.
    """

    answer: bytes
    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[bytes] = frozenset()
    returns: frozenset[bytes] = frozenset()
    status: tuple[bytes, ...] = ()
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    name: str
    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """CLOSE, or without `expunge` UNSELECT (RFC 3691)."""

    expunge: bool


STATUS_ITEMS = (
    b"MESSAGES",
    b"RECENT",
    b"UIDNEXT",
    b"UIDVALIDITY",
    b"UNSEEN",
    b"HIGHESTMODSEQ",
    b"SIZE",
    b"DELETED",
    b"DELETED-STORAGE",
    b"MAILBOXID",
    b"APPENDLIMIT",
)
_SELECTION = frozenset((b"SUBSCRIBED", b"REMOTE", b"RECURSIVEMATCH", b"SPECIAL-USE"))
_RETURNS = frozenset((b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE"))
MAX_PATTERNS = 100
MAX_SAMPLE = 1000


def select(reader: Reader) -> Select:
    return _select(reader, read_only=False)


def examine(reader: Reader) -> Select:
    return _select(reader, read_only=True)


def _select(reader: Reader, *, read_only: bool) -> Select:
    reader.space()
    name = reader.mailbox()
    condstore, resync = False, None
    if reader.try_text(b" ("):
        while True:
            option = reader.keyword()
            if option == b"CONDSTORE":
                condstore = True
            elif option == b"QRESYNC" and resync is None:
                reader.space()
                resync = _resync(reader)
            else:
                raise BadSyntax("SELECT expects CONDSTORE or QRESYNC (...), each once")
            if reader.try_text(b")"):
                break
            reader.space()
    return Select(name, read_only, condstore, resync)


def _resync(reader: Reader) -> Resync:
    """`(uidvalidity modseq [known-uids] [(numbers uids)])`."""
    reader.text(b"(")
    uidvalidity = reader.number()
    reader.space()
    modseq = reader.modseq()
    if not uidvalidity or not modseq:
        raise BadSyntax("QRESYNC expects a UIDVALIDITY and a modseq of at least 1")
    known: SequenceSet | None = None
    sample: tuple[tuple[SeqNum, Uid], ...] = ()
    if reader.try_text(b" "):
        if reader.peek() != b"(":
            known = _known(reader)
        if known is None or reader.try_text(b" "):
            sample = _sample(reader)
    reader.text(b")")
    return Resync(uidvalidity, modseq, known, sample)


def _known(reader: Reader) -> SequenceSet:
    found = reader.sequence_set()
    if found.saved or found.has_star:
        raise BadSyntax("QRESYNC expects UIDs without * and $")
    return found


def _sample(reader: Reader) -> tuple[tuple[SeqNum, Uid], ...]:
    """Pairs of numbers and UIDs (RFC 7162 section 3.2.5.2); of very many the first are enough."""
    reader.text(b"(")
    numbers = _known(reader)
    reader.space()
    uids = _known(reader)
    reader.text(b")")
    if numbers.count() != uids.count():
        raise BadSyntax("QRESYNC expects as many numbers as UIDs")
    pairs = zip(numbers_in(numbers.resolve(0)), numbers_in(uids.resolve(0)), strict=False)
    return tuple((SeqNum(number), Uid(uid)) for number, uid in islice(pairs, MAX_SAMPLE))


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
    """Basic and extended LIST (RFC 5258 section 6)."""
    reader.space()
    selection: list[bytes] = []
    extended = reader.peek() == b"("
    if extended:
        selection = _options(reader, _SELECTION)
        if set(selection) <= {b"RECURSIVEMATCH", b"REMOTE"} and b"RECURSIVEMATCH" in selection:
            raise BadSyntax("RECURSIVEMATCH expects another selection option")
        reader.space()
    reference = reader.mailbox()
    reader.space()
    several = reader.peek() == b"("
    patterns = _patterns(reader) if several else (reader.list_pattern(),)
    returns: frozenset[bytes] = frozenset()
    status_items: tuple[bytes, ...] = ()
    returning = reader.try_text(b" RETURN ")
    if returning:
        returns, status_items = _return_options(reader)
    chosen = frozenset(selection)
    return List(
        b"LIST",
        reference,
        patterns,
        chosen,
        returns | (chosen & _RETURNS),
        status_items,
        extended=extended or several or returning,
    )


def _options(reader: Reader, known: frozenset[bytes]) -> list[bytes]:
    found = reader.words()
    for word in found:
        if word not in known:
            raise BadSyntax(f"LIST expects some of {b' '.join(sorted(known)).decode()}")
    return found


def _patterns(reader: Reader) -> tuple[str, ...]:
    reader.text(b"(")
    found = [reader.list_pattern()]
    while not reader.try_text(b")"):
        reader.space()
        found.append(reader.list_pattern())
        if len(found) > MAX_PATTERNS:
            raise BadSyntax(f"LIST expects at most {MAX_PATTERNS} patterns")
    return tuple(found)


def _return_options(reader: Reader) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    reader.text(b"(")
    returns: set[bytes] = set()
    items: tuple[bytes, ...] = ()
    while not reader.try_text(b")"):
        word = reader.keyword()
        if word == b"STATUS":
            reader.space()
            items = _status_items(reader)
        elif word in _RETURNS:
            returns.add(word)
        else:
            raise BadSyntax("LIST RETURN expects SUBSCRIBED, CHILDREN, SPECIAL-USE or STATUS (...)")
        if reader.peek() != b")":
            reader.space()
    return frozenset(returns), items


def lsub(reader: Reader) -> List:
    reference = _named(reader)
    reader.space()
    return List(b"LSUB", reference, (reader.list_pattern(),))


def xlist(reader: Reader) -> List:
    reference = _named(reader)
    reader.space()
    return List(b"XLIST", reference, (reader.list_pattern(),))


def status(reader: Reader) -> Status:
    name = _named(reader)
    reader.space()
    return Status(name, _status_items(reader))


def _status_items(reader: Reader) -> tuple[bytes, ...]:
    items = tuple(dict.fromkeys(reader.words()))
    if not items or not set(items) <= set(STATUS_ITEMS):
        raise BadSyntax(f"STATUS expects some of {b' '.join(STATUS_ITEMS).decode()}")
    return items
