"""Sets of UIDs in queries: however scattered they are, they reach the database as one set and not as one query each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crymapd.model.numbers import MailboxId, Uid
from crymapd.model.sequence import Range


@dataclass(frozen=True, slots=True)
class UidSet:
    """The entries of a mailbox with some UIDs, as a part of a query in which they are called `e`.

    Attributes:
        tables: what stands after FROM.
        where: what stands after WHERE.
        values: what is bound to the parameters of both, in this order.
    """

    tables: str
    where: str
    values: tuple[object, ...]


def uid_set(mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> UidSet:
    """Make a query's part of ascending, disjoint ranges."""
    if len(ranges) == 1:
        return UidSet("entries e", "e.mailbox = ? AND e.uid BETWEEN ? AND ?", (mailbox, *ranges[0]))
    return UidSet(
        "json_each(?) r CROSS JOIN entries e",  # in this order: a look-up in the primary key for each range
        "e.mailbox = ? AND e.uid BETWEEN r.value ->> 0 AND r.value ->> 1",
        (json.dumps(list(ranges)), mailbox),
    )


def in_groups(ranges: Sequence[Range[Uid]], most: int) -> Iterator[list[Range[Uid]]]:
    """Split ranges into groups that span at most so many UIDs; a range that spans more makes a group of its own."""
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
