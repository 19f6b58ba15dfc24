"""Search keys (RFC 9051 section 6.4.4) as a tree of small frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Union

from crymapd.model.numbers import Uid
from crymapd.model.sequence import Range, SequenceSet


@dataclass(frozen=True, slots=True)
class All:
    """Matches every message."""


@dataclass(frozen=True, slots=True)
class Not:
    key: SearchKey


@dataclass(frozen=True, slots=True)
class Or:
    keys: tuple[SearchKey, ...]


@dataclass(frozen=True, slots=True)
class And:
    keys: tuple[SearchKey, ...]


@dataclass(frozen=True, slots=True)
class HasFlag:
    """Matches messages with a system flag, a keyword, or `\\Recent`."""

    flag: str


@dataclass(frozen=True, slots=True)
class InSequenceSet:
    """Matches messages that the client names by sequence numbers or, if `uid`, by UIDs."""

    sequence_set: SequenceSet
    uid: bool


@dataclass(frozen=True, slots=True)
class Uids:
    """Matches messages by UID: what InSequenceSet and `\\Recent` mean in a session, as ascending, disjoint ranges."""

    ranges: tuple[Range[Uid], ...]


@dataclass(frozen=True, slots=True)
class Size:
    """Matches messages strictly larger, or strictly smaller, than `octets`."""

    octets: int
    larger: bool


@dataclass(frozen=True, slots=True)
class Dated:
    """Matches by date: `source` is INTERNAL, SENT or SAVED, `relation` BEFORE, ON or SINCE; zones are disregarded."""

    source: str
    relation: str
    day: date


@dataclass(frozen=True, slots=True)
class HeaderHas:
    """Matches a header field whose value contains `text`; an empty text asks only whether the field exists."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class AddressesHave:
    """Matches `from`, `to`, `cc` or `bcc` if its addresses contain `text`; an empty text asks only for the field."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class BodyHas:
    """Matches messages whose decoded body, or with `header` any decoded header too (TEXT), contains `text`."""

    text: str
    header: bool


@dataclass(frozen=True, slots=True)
class ModSeqSince:
    """Matches a modification sequence of at least `modseq` (RFC 7162 section 3.1.5)."""

    modseq: int


@dataclass(frozen=True, slots=True)
class Within:
    """Matches messages received within the last `seconds`, or with `older` before that (RFC 5032)."""

    seconds: int
    older: bool


@dataclass(frozen=True, slots=True)
class ObjectId:
    """Matches an EMAILID or, with `thread`, a THREADID (RFC 8474)."""

    value: str
    thread: bool


SearchKey = Union[
    All,
    Not,
    Or,
    And,
    HasFlag,
    InSequenceSet,
    Uids,
    Size,
    Dated,
    HeaderHas,
    AddressesHave,
    BodyHas,
    ModSeqSince,
    Within,
    ObjectId,
]


def mentions(key: SearchKey, *kinds: type) -> bool:
    """Tell whether a key contains a key of one of these kinds."""
    match key:
        case Not(inner):
            return mentions(inner, *kinds)
        case Or(inner_keys) | And(inner_keys):
            return any(mentions(inner, *kinds) for inner in inner_keys)
        case _:
            return isinstance(key, kinds)
