"""Sequence sets (RFC 9051 section 9, `sequence-set`) as sorted, disjoint ranges.

A client's set may hold `*`; it becomes ranges only when the largest number is known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

STAR = 0
"""Stands for `*` in an unresolved range: zero is never a valid number."""

N = TypeVar("N", bound=int)
Range = tuple[N, N]
"""The first and the last of consecutive numbers of one kind, such as `Range[Uid]`."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """What the client wrote: ranges in its order, `STAR` where it wrote `*`; or `$` (RFC 5182)."""

    ranges: tuple[Range[int], ...]
    saved: bool = False

    def resolve(self, largest: N) -> list[Range[N]]:
        """Ascending disjoint ranges with `*` as `largest`.

        `n:*` beyond the end is `largest:n` and so holds the last message
        (RFC 9051 section 6.4.8).  With `largest` zero (an empty mailbox) `*` names nothing.
        """
        resolved: list[Range[int]] = []
        for first, last in self.ranges:
            low, high = sorted((first or largest, last or largest))
            if high:
                resolved.append((max(low, 1), high))
        return cast(list[Range[N]], merge(resolved))

    @property
    def has_star(self) -> bool:
        return any(STAR in pair for pair in self.ranges)

    def count(self) -> int:
        """How many numbers it names; only where it holds no `*`."""
        return sum(abs(last - first) + 1 for first, last in self.ranges)

    def highest_named(self) -> int:
        """The largest number written out (not `*`); 0 when there is none."""
        return max((max(pair) for pair in self.ranges), default=0)


def merge(ranges: Iterable[Range[N]]) -> list[Range[N]]:
    """Sort ranges and join those that touch or overlap."""
    joined: list[Range[N]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            if high > joined[-1][1]:
                joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


def ranges_of(numbers: Iterable[N]) -> list[Range[N]]:
    """Ascending numbers as ranges."""
    ranges: list[Range[N]] = []
    start: N | None = None
    previous: N | None = None
    for number in numbers:
        if previous is not None and number == previous + 1:
            previous = number
            continue
        if start is not None and previous is not None:
            ranges.append((start, previous))
        start = previous = number
    if start is not None and previous is not None:
        ranges.append((start, previous))
    return ranges


def intersection(one: Iterable[Range[N]], other: Iterable[Range[N]]) -> list[Range[N]]:
    """What two lists of ascending disjoint ranges have in common."""
    common: list[Range[N]] = []
    others = iter(other)
    current = next(others, None)
    for low, high in one:
        while current is not None and current[0] <= high:
            if current[1] >= low:
                common.append((max(low, current[0]), min(high, current[1])))
            if current[1] > high:
                break
            current = next(others, None)
    return common


def difference(one: Iterable[Range[N]], other: Iterable[Range[N]]) -> list[Range[N]]:
    """The first list of ascending disjoint ranges without the second."""
    gaps: list[Range[int]] = []
    after = 0
    for low, high in other:
        if low > after:
            gaps.append((after, low - 1))
        after = high + 1
    gaps.append((after, 1 << 63))
    return intersection(one, cast(list[Range[N]], gaps))


def contains(ranges: Sequence[Range[N]], number: N) -> bool:
    """Whether ascending disjoint ranges hold a number."""
    at = bisect_right(ranges, (number, 1 << 63)) - 1
    return at >= 0 and ranges[at][0] <= number <= ranges[at][1]


def numbers_in(ranges: Iterable[Range[int]]) -> Iterator[int]:
    """Every number of the ranges, in order."""
    for low, high in ranges:
        yield from range(low, high + 1)


def format_ranges(ranges: Iterable[Range[N]]) -> str:
    """Ranges as a sequence set: `1:3,7`."""
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in ranges)


def format_set(numbers: Iterable[int]) -> str:
    """Ascending numbers as a sequence set."""
    return format_ranges(ranges_of(numbers))
