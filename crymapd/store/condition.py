"""Conditions: the search keys that the database decides by itself, as SQL.

In the SQL text `e` stands for the table `entries` (or `expunges`), and `m` for `messages`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from crymapd.model import search as keys
from crymapd.model.search import SearchKey

_MAX_RANGES = 2
"""UID ranges in one condition. A client may send thousands, and the query must not become as long as the command."""
_DAY = 86_400
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL expression that is true or 0 and never NULL, and the values of its parameters."""

    text: str
    values: tuple[object, ...] = ()


EVERYTHING = Condition("1")


def condition(key: SearchKey) -> Condition | None:
    """Translate a search key; None if the database cannot decide it without the message or the session."""
    match key:
        case keys.All():
            return EVERYTHING
        case keys.Not(inner):
            negated = condition(inner)
            return negated and Condition(f"NOT ({negated.text})", negated.values)
        case keys.Or(inner_keys):
            return _joined(" OR ", inner_keys)
        case keys.And(inner_keys):
            return _joined(" AND ", inner_keys) if inner_keys else EVERYTHING
        case _:
            return _simple(key)


def hull(key: SearchKey) -> Condition | None:
    """Limit the UIDs to the span of many ranges, which are too many for a condition; None for any other key."""
    if not isinstance(key, keys.Uids) or len(key.ranges) <= _MAX_RANGES:
        return None
    return Condition("e.uid BETWEEN ? AND ?", (min(low for low, _ in key.ranges), max(high for _, high in key.ranges)))


def all_of(*conditions: Condition | None) -> Condition:
    """Demand that all conditions hold; any that is None is left out."""
    present = [each for each in conditions if each is not None]
    return _join(" AND ", present) if present else EVERYTHING


def _joined(word: str, inner: Sequence[SearchKey]) -> Condition | None:
    """Translate keys and join them; None if one of them cannot be translated."""
    conditions = [each for each in map(condition, inner) if each is not None]
    return _join(word, conditions) if len(conditions) == len(inner) else None


def _join(word: str, conditions: Sequence[Condition]) -> Condition:
    """Join conditions as a balanced tree, because SQLite refuses expressions that are a thousand levels deep."""
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
            edge = int(time.time()) - seconds  # RFC 5032 section 2: the edge belongs to OLDER and to YOUNGER
            return Condition("m.received <= ?" if older else "m.received >= ?", (edge,))
        case keys.ObjectId(value, thread):
            return _object_id(value, thread=thread)
        case keys.Dated(source, relation, day) if source in _MOMENTS:
            return _dated(_MOMENTS[source], relation, (day - _EPOCH).days * _DAY)
    return None


_MOMENTS = {"INTERNAL": "m.received + m.zone * 60", "SAVED": "e.saved"}
"""Expressions for a moment, by the source of the date; its day in UTC is the day that the search compares."""


def _dated(moment: str, relation: str, start: int) -> Condition:
    if relation == "BEFORE":
        return Condition(f"{moment} < ?", (start,))
    if relation == "SINCE":
        return Condition(f"{moment} >= ?", (start,))
    return Condition(f"{moment} BETWEEN ? AND ?", (start, start + _DAY - 1))


def _object_id(value: str, *, thread: bool) -> Condition:
    """Compare EMAILID or THREADID (RFC 8474); ours are a letter and 32 hexadecimal digits."""
    if not re.fullmatch("T[0-9a-f]{32}" if thread else "M[0-9a-f]{32}", value):
        return Condition("0")
    return Condition("m.thread IS ?" if thread else "m.email_id = ?", (bytes.fromhex(value[1:]),))
