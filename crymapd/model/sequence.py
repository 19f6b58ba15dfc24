"""Sequence sets (RFC 9051 section 9, `sequence-set`) as sorted, disjoint ranges.

A client's set may contain `*`, so it can be resolved to ranges only when the largest number is known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

STAR = 0
"""The value of `*` in an unresolved range, as zero is never a valid number."""

N = TypeVar("N", bound=int)
Range = tuple[N, N]
"""The first and the last of consecutive numbers of one kind, such as `Range[Uid]`."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Hold a set as the client wrote it: ranges in its order, `STAR` for `*`; or `$` (RFC 5182)."""

    ranges: tuple[Range[int], ...]
    saved: bool = False

    def resolve(self, largest: N) -> list[Range[N]]:
        """Return ascending, disjoint ranges, with `*` replaced by `largest`.

        If `n` is beyond the end, `n:*` is `largest:n` and so contains the last message
        (RFC 9051 section 6.4.8).  If `largest` is zero, in an empty mailbox, `*` names nothing.
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
        """Return how many numbers it names; the set must not contain `*`."""
        return sum(abs(last - first) + 1 for first, last in self.ranges)

    def highest_named(self) -> int:
        """Return the largest number that is written out (not `*`), or 0."""
        return max((max(pair) for pair in self.ranges), default=0)


def merge(ranges: Iterable[Range[N]]) -> list[Range[N]]:
    """Sort ranges and join those that touch or overlap."""
    merged: list[Range[N]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return merged


def ranges_of(numbers: Iterable[N]) -> list[Range[N]]:
    """Return ascending numbers as ranges."""
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
    """Return what two lists of ascending, disjoint ranges have in common."""
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
    """Return the first list of ascending, disjoint ranges without the second."""
    gaps: list[Range[int]] = []
    after = 0
    for low, high in other:
        if low > after:
            gaps.append((after, low - 1))
        after = high + 1
    gaps.append((after, 1 << 63))
    return intersection(one, cast(list[Range[N]], gaps))


def contains(ranges: Sequence[Range[N]], number: N) -> bool:
    """Tell whether ascending, disjoint ranges contain a number."""
    at = bisect_right(ranges, (number, 1 << 63)) - 1
    return at >= 0 and ranges[at][0] <= number <= ranges[at][1]


def numbers_in(ranges: Iterable[Range[int]]) -> Iterator[int]:
    """Yield every number of the ranges, in order."""
    for low, high in ranges:
        yield from range(low, high + 1)


def format_ranges(ranges: Iterable[Range[N]]) -> str:
    """Return ranges as a sequence set, such as `1:3,7`."""
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in ranges)


def format_set(numbers: Iterable[int]) -> str:
    """Return ascending numbers as a sequence set."""
    return format_ranges(ranges_of(numbers))
