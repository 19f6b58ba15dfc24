"""Commands about mailboxes (RFC 9051 section 6.3, RFC 5258, RFC 5819, RFC 6154, RFC 7162)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.model.numbers import SeqNum, Uid
from crymapd.model.sequence import SequenceSet, numbers_in


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT or, if `read_only`, EXAMINE."""

    name: str
    read_only: bool
    condstore: bool
    resync: Resync | None


@dataclass(frozen=True, slots=True)
class Resync:
    """What the client remembers of the mailbox (RFC 7162 section 3.2.5).

    Attributes:
        uidvalidity: the UIDVALIDITY of the mailbox when the client last saw it.
        modseq: the modseq up to which the client has been told.
        known_uids: the UIDs that the client remembers; None for all.
        sample: some sequence numbers, ascending, and the UIDs that belonged to them.
    """

    uidvalidity: int
    modseq: int
    known_uids: SequenceSet | None
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
        response: LIST, LSUB or XLIST, with which the untagged responses begin.
        reference: the reference name, which goes before each pattern.
        patterns: the mailbox patterns, of which a name must match one.
        selection: selection options of RFC 5258: SUBSCRIBED, REMOTE, RECURSIVEMATCH, SPECIAL-USE.
        returns: return options: SUBSCRIBED, CHILDREN, SPECIAL-USE.
        status: the items of RETURN (STATUS (...)) (RFC 5819).
        extended: whether the client used the syntax of RFC 5258.
    """

    response: bytes
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
    """CLOSE if `expunge`, else UNSELECT (RFC 3691)."""

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
"""How many pairs of number and UID are looked at; any others are ignored."""


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
            option = reader.word()
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
    """Read `(uidvalidity modseq [known-uids] [(numbers uids)])`."""
    reader.text(b"(")
    uidvalidity = reader.number()
    reader.space()
    modseq = reader.modseq()
    if not uidvalidity or not modseq:
        raise BadSyntax("QRESYNC expects a UIDVALIDITY and a modseq of at least 1")
    known_uids: SequenceSet | None = None
    sample: tuple[tuple[SeqNum, Uid], ...] = ()
    if not reader.try_text(b")"):
        reader.space()
        if reader.peek() != b"(":
            known_uids = _written_out(reader)
        if not reader.try_text(b")"):
            if known_uids is not None:
                reader.space()
            sample = _sample(reader)
            reader.text(b")")
    return Resync(uidvalidity, modseq, known_uids, sample)


def _written_out(reader: Reader) -> SequenceSet:
    """Read a sequence set in which nothing depends on the state of the mailbox."""
    sequence_set = reader.sequence_set()
    if sequence_set.saved or sequence_set.has_star:
        raise BadSyntax("QRESYNC expects UIDs without * and $")
    return sequence_set


def _sample(reader: Reader) -> tuple[tuple[SeqNum, Uid], ...]:
    """Read `(numbers uids)` as pairs of number and UID (RFC 7162 section 3.2.5.2), at most MAX_SAMPLE of them."""
    reader.text(b"(")
    numbers = _written_out(reader)
    reader.space()
    uids = _written_out(reader)
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


def _mailbox_name(reader: Reader) -> str:
    reader.space()
    return reader.mailbox()


def delete(reader: Reader) -> Delete:
    return Delete(_mailbox_name(reader))


def rename(reader: Reader) -> Rename:
    return Rename(_mailbox_name(reader), _mailbox_name(reader))


def subscribe(reader: Reader) -> Subscribe:
    return Subscribe(_mailbox_name(reader))


def unsubscribe(reader: Reader) -> Unsubscribe:
    return Unsubscribe(_mailbox_name(reader))


def list_(reader: Reader) -> List:
    """Read a LIST, basic or extended (RFC 5258 section 6)."""
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
    has_pattern_list = reader.peek() == b"("
    patterns = _patterns(reader) if has_pattern_list else (reader.list_pattern(),)
    returns: frozenset[bytes] = frozenset()
    status_items: tuple[bytes, ...] = ()
    has_return = reader.try_text(b" RETURN ")
    if has_return:
        returns, status_items = _return_options(reader)
    selected = frozenset(selection)
    return List(
        b"LIST",
        reference,
        patterns,
        selected,
        returns | (selected & _RETURNS),
        status_items,
        extended=extended or has_pattern_list or has_return,
    )


def _options(reader: Reader, allowed: frozenset[bytes]) -> list[bytes]:
    options = reader.words()
    for option in options:
        if option not in allowed:
            raise BadSyntax(f"LIST expects some of {b' '.join(sorted(allowed)).decode()}")
    return options


def _patterns(reader: Reader) -> tuple[str, ...]:
    reader.text(b"(")
    patterns = [reader.list_pattern()]
    while not reader.try_text(b")"):
        reader.space()
        patterns.append(reader.list_pattern())
        if len(patterns) > MAX_PATTERNS:
            raise BadSyntax(f"LIST expects at most {MAX_PATTERNS} patterns")
    return tuple(patterns)


def _return_options(reader: Reader) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    reader.text(b"(")
    returns: set[bytes] = set()
    items: tuple[bytes, ...] = ()
    while not reader.try_text(b")"):
        word = reader.word()
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
    reference = _mailbox_name(reader)
    reader.space()
    return List(b"LSUB", reference, (reader.list_pattern(),))


def xlist(reader: Reader) -> List:
    reference = _mailbox_name(reader)
    reader.space()
    return List(b"XLIST", reference, (reader.list_pattern(),))


def status(reader: Reader) -> Status:
    name = _mailbox_name(reader)
    reader.space()
    return Status(name, _status_items(reader))


def _status_items(reader: Reader) -> tuple[bytes, ...]:
    items = tuple(dict.fromkeys(reader.words()))
    if not items or not set(items) <= set(STATUS_ITEMS):
        raise BadSyntax(f"STATUS expects some of {b' '.join(STATUS_ITEMS).decode()}")
    return items
