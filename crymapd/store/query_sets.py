"""Sets of UIDs and of message ids in queries: however scattered they are, one query asks for all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from crymapd.model.numbers import MailboxId, MessageId, Uid
from crymapd.model.sequence import Range


@dataclass(frozen=True, slots=True)
class UidSet:
    """The parts of a query that select the entries of a mailbox with certain UIDs; the query calls them `e`.

    Attributes:
        tables: the SQL text after FROM.
        where: the SQL text after WHERE.
        values: the values of the parameters in both, in this order.
    """

    tables: str
    where: str
    values: tuple[object, ...]


def uid_set(mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> UidSet:
    """Translate ascending, disjoint UID ranges of a mailbox."""
    if len(ranges) == 1:
        return UidSet("entries e", "e.mailbox = ? AND e.uid BETWEEN ? AND ?", (mailbox, *ranges[0]))
    return UidSet(
        "json_each(?) r CROSS JOIN entries e",  # CROSS keeps this order: one look-up in the primary key for each range
        "e.mailbox = ? AND e.uid BETWEEN r.value ->> 0 AND r.value ->> 1",
        (json.dumps(list(ranges)), mailbox),
    )


def message_set(column: str, messages: Iterable[MessageId]) -> tuple[str, tuple[object, ...]]:
    """Translate a set of message ids into a condition on a column: its SQL text, and the values of its parameters."""
    ids = set(messages)
    if ids and max(ids) - min(ids) + 1 == len(ids):  # a mailbox that was filled at once: SQLite runs through one range
        return f"{column} BETWEEN ? AND ?", (min(ids), max(ids))
    return f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(sorted(ids)),)


def in_groups(ranges: Sequence[Range[Uid]], most: int) -> Iterator[list[Range[Uid]]]:
    """Split ranges into groups that span at most `most` UIDs; a range that spans more makes a group of its own."""
    group: list[Range[Uid]] = []
    span = 0
    for low, high in ranges:
        count = high - low + 1
        if group and span + count > most:
            yield group
            group, span = [], 0
        group.append((low, high))
        span += count
    if group:
        yield group
