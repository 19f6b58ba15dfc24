"""Search keys (RFC 9051 section 6.4.4) as a tree of small frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Union

from crymapd.model.numbers import Uid
from crymapd.model.sequence import Range, SequenceSet


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


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
    """A system flag, a keyword, or `\\Recent`."""

    flag: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """Message numbers or UIDs."""

    numbers: SequenceSet
    uid: bool


@dataclass(frozen=True, slots=True)
class Uids:
    """What Numbers and `\\Recent` mean in a session: ascending, disjoint ranges."""

    ranges: tuple[Range[Uid], ...]


@dataclass(frozen=True, slots=True)
class Size:
    """Strictly larger (or smaller) than `octets`."""

    octets: int
    larger: bool


@dataclass(frozen=True, slots=True)
class Dated:
    """`source` is INTERNAL, SENT or SAVED; `relation` is BEFORE, ON or SINCE; the zone is disregarded."""

    source: str
    relation: str
    day: date


@dataclass(frozen=True, slots=True)
class HeaderHas:
    """A header field whose decoded value holds `text`; an empty text asks only for the field."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class AddressesHave:
    """An address field (`from`, `to`, `cc` or `bcc`) whose addresses hold `text`; an empty one asks for the field."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class BodyHas:
    """Decoded text of the body; with `header`, of the headers as well (TEXT)."""

    text: str
    header: bool


@dataclass(frozen=True, slots=True)
class ModSeqSince:
    """RFC 7162 section 3.1.5: a modseq of at least this."""

    modseq: int


@dataclass(frozen=True, slots=True)
class Within:
    """RFC 5032: received (by INTERNALDATE) within the last `seconds`, or with `older` not."""

    seconds: int
    older: bool


@dataclass(frozen=True, slots=True)
class ObjectId:
    """RFC 8474: EMAILID or, with `thread`, THREADID equals `value`."""

    value: str
    thread: bool


SearchKey = Union[
    All,
    Not,
    Or,
    And,
    HasFlag,
    Numbers,
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
    """Tell whether a key of one of these kinds is anywhere in a key."""
    match key:
        case Not(inner):
            return mentions(inner, *kinds)
        case Or(inner_keys) | And(inner_keys):
            return any(mentions(inner, *kinds) for inner in inner_keys)
        case _:
            return isinstance(key, kinds)
