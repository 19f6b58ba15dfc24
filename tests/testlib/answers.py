"""What an IMAP server may say, as values.

`grammar.parse` turns the octets of one response into one of these; `client.Client` hands them to tests.
Strings of the protocol are `str` (UTF-8, with surrogate escapes for octets that are not); contents of
messages are `bytes`. Names that the protocol compares without regard to case (FETCH items, response codes,
STATUS items) are in capitals; flags, media types and mailbox names are as they were sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Numbers:
    """A sequence set without `*`, in the order and the ranges it was sent."""

    ranges: tuple[tuple[int, int], ...]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            step = 1 if first <= last else -1
            yield from range(first, last + step, step)

    def __len__(self) -> int:
        return sum(abs(last - first) + 1 for first, last in self.ranges)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and any(min(r) <= number <= max(r) for r in self.ranges)


@dataclass(frozen=True, slots=True)
class CopyUid:
    """The value of COPYUID (and of APPENDUID, without source)."""

    uid_validity: int
    source: Numbers | None
    target: Numbers


CodeValue = None | int | str | tuple[str, ...] | Numbers | CopyUid


@dataclass(frozen=True, slots=True)
class Code:
    """A response code: its name in capitals and what came with it."""

    name: str
    value: CodeValue = None


@dataclass(frozen=True, slots=True)
class Status:
    """An untagged OK, NO, BAD, BYE or PREAUTH."""

    status: str
    code: Code | None
    text: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """The end of a command: OK, NO or BAD."""

    tag: str
    status: str
    code: Code | None
    text: str


@dataclass(frozen=True, slots=True)
class Continuation:
    """A line that begins with `+`: prose, or base64 of a SASL challenge."""

    code: Code | None
    text: str


@dataclass(frozen=True, slots=True)
class Capability:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enabled:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flags:
    flags: tuple[str, ...]


ExtensionValue = None | int | str | Numbers | tuple["ExtensionValue", ...]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A LIST, LSUB or XLIST line; the name as sent, not decoded."""

    command: str
    flags: tuple[str, ...]
    delimiter: str | None
    name: str
    extended: tuple[tuple[str, ExtensionValue], ...] = ()


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    mailbox: str
    items: dict[str, int | str | None]


@dataclass(frozen=True, slots=True)
class Search:
    """SEARCH or SORT: numbers in the order they were sent."""

    command: str
    numbers: tuple[int, ...]
    modseq: int | None


ThreadTree = tuple["int | ThreadTree", ...]


@dataclass(frozen=True, slots=True)
class Thread:
    threads: tuple[ThreadTree, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """PARTIAL in ESEARCH: the range asked for, and the numbers in it if any."""

    first: int
    last: int
    numbers: Numbers | None


Placed = tuple[tuple[int, Numbers], ...]
EsearchValue = int | Numbers | Partial | Placed | tuple[int, ...] | ExtensionValue


@dataclass(frozen=True, slots=True)
class Esearch:
    tag: str | None
    uid: bool
    items: dict[str, EsearchValue]
    mailbox: str | None = None
    uid_validity: int | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    count: int


@dataclass(frozen=True, slots=True)
class Recent:
    count: int


@dataclass(frozen=True, slots=True)
class Expunge:
    number: int


@dataclass(frozen=True, slots=True)
class Vanished:
    earlier: bool
    uids: Numbers


@dataclass(frozen=True, slots=True)
class Address:
    name: str | None
    route: str | None
    mailbox: str | None
    host: str | None


@dataclass(frozen=True, slots=True)
class Envelope:
    date: str | None
    subject: str | None
    from_: tuple[Address, ...]
    sender: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    in_reply_to: str | None
    message_id: str | None


Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Disposition:
    kind: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Extension:
    """The optional end of a body structure; `present` is the number of fields that were sent."""

    present: int = 0
    md5: str | None = None
    disposition: Disposition | None = None
    language: tuple[str, ...] = ()
    location: str | None = None
    others: tuple[ExtensionValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A body that is no multipart. `lines` for text and message, `envelope` and `body` for message."""

    type: str
    subtype: str
    parameters: Parameters
    id: str | None
    description: str | None
    encoding: str
    octets: int
    lines: int | None
    envelope: Envelope | None
    body: Body | None
    extension: Extension


@dataclass(frozen=True, slots=True)
class Multipart:
    parts: tuple[Body, ...]
    subtype: str
    parameters: Parameters
    extension: Extension


Body = Part | Multipart
FetchValue = None | int | bytes | str | tuple[str, ...] | datetime | Envelope | Part | Multipart


@dataclass(frozen=True, slots=True)
class Fetch:
    """A FETCH line. Items are pairs, since a client may ask twice for the same.

    Names are as sent but in capitals: `FLAGS`, `BODY[1.HEADER.FIELDS (DATE FROM)]<0>`, `BINARY.SIZE[2]`.
    """

    number: int
    items: tuple[tuple[str, FetchValue], ...]

    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.items)

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __getitem__(self, name: str) -> FetchValue:
        found = [value for item, value in self.items if item == name]
        if not found:
            raise KeyError(name)
        assert all(value == found[0] for value in found), f"{name} came with two values"
        return found[0]

    def get(self, name: str, kind: type[T]) -> T:
        """The value of an item, which must be of this type."""
        value = self[name]
        assert isinstance(value, kind), f"{name} is {value!r}, expected {kind.__name__}"
        return value

    def octets(self, name: str) -> bytes:
        return self.get(name, bytes)

    @property
    def uid(self) -> int:
        return self.get("UID", int)

    @property
    def flags(self) -> frozenset[str]:
        value = self["FLAGS"]
        assert isinstance(value, tuple)
        return frozenset(value)


@dataclass(frozen=True, slots=True)
class Namespace:
    prefix: str
    delimiter: str | None
    extensions: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Namespaces:
    personal: tuple[Namespace, ...]
    others: tuple[Namespace, ...]
    shared: tuple[Namespace, ...]


@dataclass(frozen=True, slots=True)
class Id:
    fields: dict[str, str | None] | None


@dataclass(frozen=True, slots=True)
class Quota:
    """Resources by name: (usage, limit)."""

    root: str
    resources: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class QuotaRoot:
    mailbox: str
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rights:
    """By `command`: ACL (identifiers and rights), LISTRIGHTS (identifier, sets), MYRIGHTS (rights)."""

    command: str
    mailbox: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """Entries with their values, or only names (value None, `named` true) in an unsolicited response."""

    mailbox: str
    entries: dict[str, bytes | None]
    named: bool


Response = (
    Status
    | Capability
    | Enabled
    | Flags
    | Mailbox
    | MailboxStatus
    | Search
    | Thread
    | Esearch
    | Exists
    | Recent
    | Expunge
    | Vanished
    | Fetch
    | Namespaces
    | Id
    | Quota
    | QuotaRoot
    | Rights
    | Metadata
)
Answer = Response | Tagged | Continuation
