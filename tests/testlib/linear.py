"""Does work grow with its input, and not with the square of it?"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FACTOR = 8
LIMIT = 22  # between 8 times (linear) and 64 times (quadratic), the geometric mean
ENOUGH_SECONDS = 0.004
ATTEMPTS = 3  # the machine has other things to do as well


def assert_linear(make: Callable[[int], T], work: Callable[[T], object], size: int, largest: int) -> None:
    """Eight times the input takes well under 22 times the time, where the small one takes a few milliseconds.

    `make` gives an input of the size it is told; `size` is the first that is tried, `largest` where looking for
    a measurable one ends.
    """
    while _best(work, make(size), 1) < ENOUGH_SECONDS and size < largest:
        size *= 2
    small, large = make(size), make(size * FACTOR)
    for _attempt in range(ATTEMPTS):
        once, grown = _best(work, small, 5), _best(work, large, 2)
        if grown < LIMIT * max(once, ENOUGH_SECONDS / 4):
            return
    raise AssertionError(f"{size} and {FACTOR} times that: {once:.4f}, {grown:.4f} s")


def _best(work: Callable[[T], object], argument: T, times: int) -> float:
    taken = []
    gc.collect()
    gc.disable()  # it looks at whatever else the process holds
    try:
        for _ in range(times):
            before = time.process_time()
            work(argument)
            taken.append(time.process_time() - before)
    finally:
        gc.enable()
    return min(taken)
