"""Search keys that rows decide, as conditions of a query: `e` is `entries` (or `expunges`), `m` is `messages`."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from crymapd.model import search as keys
from crymapd.model.search import SearchKey

_MAX_RANGES = 2
"""More are looked up one by one: a command with thousands of them must not become a query as long."""
_DAY = 86_400
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression that is true, or 0, and never NULL; with the values of its parameters."""

    text: str
    values: tuple[object, ...] = ()


EVERYTHING = Condition("1")


def condition(key: SearchKey) -> Condition | None:
    """None for a key that needs more: the message, or the session that knows what Numbers are."""
    match key:
        case keys.All():
            return EVERYTHING
        case keys.Not(inner):
            found = condition(inner)
            return found and Condition(f"NOT ({found.text})", found.values)
        case keys.Or(inner_keys):
            return _joined(" OR ", inner_keys)
        case keys.And(inner_keys):
            return _joined(" AND ", inner_keys) if inner_keys else EVERYTHING
        case _:
            return _simple(key)


def hull(key: SearchKey) -> Condition | None:
    """Of many UID ranges, which are no condition, from where to where they go."""
    if not isinstance(key, keys.Uids) or len(key.ranges) <= _MAX_RANGES:
        return None
    return Condition("e.uid BETWEEN ? AND ?", (min(low for low, _ in key.ranges), max(high for _, high in key.ranges)))


def both(*conditions: Condition | None) -> Condition:
    """All of them; those that are None aside."""
    found = [one for one in conditions if one is not None]
    return _join(" AND ", found) if found else EVERYTHING


def _joined(word: str, inner: Sequence[SearchKey]) -> Condition | None:
    found = [one for one in map(condition, inner) if one is not None]
    return _join(word, found) if len(found) == len(inner) else None


def _join(word: str, conditions: Sequence[Condition]) -> Condition:
    """A balanced tree: SQLite takes no expression that is a thousand deep."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    left, right = _join(word, conditions[:middle]), _join(word, conditions[middle:])
    return Condition(f"({left.text}){word}({right.text})", left.values + right.values)


def _simple(key: SearchKey) -> Condition | None:
    match key:
        case keys.HasFlag(flag):
            return Condition(
                "e.flagset IN (SELECT id FROM flagsets WHERE instr(' ' || lower(flags) || ' ', ?))",
                (f" {flag.lower()} ",),
            )
        case keys.Uids(ranges):
            if len(ranges) > _MAX_RANGES:
                return None
            text = " OR ".join(["e.uid BETWEEN ? AND ?"] * len(ranges))
            return Condition(text or "0", tuple(uid for uids in ranges for uid in uids))
        case keys.Size(octets, larger):
            return Condition("m.size > ?" if larger else "m.size < ?", (octets,))
        case keys.ModSeqSince(modseq):
            return Condition("e.modseq >= ?", (modseq,))
        case keys.Within(seconds, older):
            edge = int(time.time()) - seconds  # RFC 5032 section 2: the edge itself is both
            return Condition("m.received <= ?" if older else "m.received >= ?", (edge,))
        case keys.ObjectId(value, thread):
            return _object_id(value, thread=thread)
        case keys.Dated(source, relation, day) if source in _MOMENTS:
            return _dated(_MOMENTS[source], relation, (day - _EPOCH).days * _DAY)
    return None


_MOMENTS = {"INTERNAL": "m.received + m.zone * 60", "SAVED": "e.saved"}
"""Seconds whose day in UTC is the day that counts."""


def _dated(moment: str, relation: str, start: int) -> Condition:
    if relation == "BEFORE":
        return Condition(f"{moment} < ?", (start,))
    if relation == "SINCE":
        return Condition(f"{moment} >= ?", (start,))
    return Condition(f"{moment} BETWEEN ? AND ?", (start, start + _DAY - 1))


def _object_id(value: str, *, thread: bool) -> Condition:
    """EMAILID and THREADID are a letter and 32 hexadecimal digits (RFC 8474)."""
    if not re.fullmatch("T[0-9a-f]{32}" if thread else "M[0-9a-f]{32}", value):
        return Condition("0")
    return Condition("m.thread IS ?" if thread else "m.email_id = ?", (bytes.fromhex(value[1:]),))
