"""Sequence sets (RFC 9051 section 9, `sequence-set`) as sorted, disjoint ranges.

A client's set may hold `*`; it becomes ranges only when the largest number is known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

STAR = 0
"""Stands for `*` in an unresolved range: zero is never a valid number."""

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """What the client wrote: ranges in its order, `STAR` where it wrote `*`; or `$` (RFC 5182)."""

    ranges: tuple[Range, ...]
    saved: bool = False

    def resolve(self, largest: int) -> list[Range]:
        """Ascending disjoint ranges with `*` as `largest`.

        `n:*` beyond the end is `largest:n` and so holds the last message
        (RFC 9051 section 6.4.8).  With `largest` zero (an empty mailbox) `*` names nothing.
        """
        found = []
        for first, last in self.ranges:
            low, high = sorted((first or largest, last or largest))
            if high:
                found.append((max(low, 1), high))
        return merge(found)

    @property
    def has_star(self) -> bool:
        return any(STAR in pair for pair in self.ranges)

    def count(self) -> int:
        """How many numbers it names; only where it holds no `*`."""
        return sum(abs(last - first) + 1 for first, last in self.ranges)

    def highest_named(self) -> int:
        """The largest number written out (not `*`); 0 when there is none."""
        return max((max(pair) for pair in self.ranges), default=0)


def merge(ranges: Iterable[Range]) -> list[Range]:
    """Sort ranges and join those that touch or overlap."""
    joined: list[Range] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            if high > joined[-1][1]:
                joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


def ranges_of(numbers: Iterable[int]) -> list[Range]:
    """Ascending numbers as ranges."""
    out: list[Range] = []
    start = previous = -1
    for number in numbers:
        if number == previous + 1 and start >= 0:
            previous = number
            continue
        if start >= 0:
            out.append((start, previous))
        start = previous = number
    if start >= 0:
        out.append((start, previous))
    return out


def intersection(one: Iterable[Range], other: Iterable[Range]) -> list[Range]:
    """What two lists of ascending disjoint ranges have in common."""
    found: list[Range] = []
    others = iter(other)
    current = next(others, None)
    for low, high in one:
        while current is not None and current[0] <= high:
            if current[1] >= low:
                found.append((max(low, current[0]), min(high, current[1])))
            if current[1] > high:
                break
            current = next(others, None)
    return found


def difference(one: Iterable[Range], other: Iterable[Range]) -> list[Range]:
    """The first list of ascending disjoint ranges without the second."""
    gaps: list[Range] = []
    after = 0
    for low, high in other:
        if low > after:
            gaps.append((after, low - 1))
        after = high + 1
    return intersection(one, [*gaps, (after, 1 << 63)])


def contains(ranges: Sequence[Range], number: int) -> bool:
    """Whether ascending disjoint ranges hold a number."""
    at = bisect_right(ranges, (number, 1 << 63)) - 1
    return at >= 0 and ranges[at][0] <= number <= ranges[at][1]


def numbers_in(ranges: Iterable[Range]) -> Iterator[int]:
    """Every number of the ranges, in order."""
    for low, high in ranges:
        yield from range(low, high + 1)


def format_ranges(ranges: Iterable[Range]) -> str:
    """Ranges as they go over the wire: `1:3,7`."""
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in ranges)


def format_set(numbers: Iterable[int]) -> str:
    """Ascending numbers as a sequence set."""
    return format_ranges(ranges_of(numbers))
