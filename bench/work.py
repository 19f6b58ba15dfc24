"""A line of the table: what is measured, in which unit, and how it may compare to Dovecot.

`bench/imap_work.py` and `bench/lmtp_work.py` have the work of each protocol.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from bench import mail
from bench.servers import Subject


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the table.

    Attributes:
        name: the first cell of the line.
        measure: does the work once and returns the figure.
        limit: what the ratio to Dovecot should keep to, or the figure itself where `absolute`; 0 for no limit.
        unit: the unit of what `measure` returns.
        more: whether more is better.
        absolute: whether the limit is for the figure itself.
        rounds: how often each server is measured.
        service: what a server must offer to be measured, by its name.
    """

    name: str
    measure: Callable[[Subject], float]
    limit: float
    unit: str = "ms"
    more: bool = False
    absolute: bool = False
    rounds: int = 5
    service: str = "imaps"

    def met(self, ours: float, ratio: float | None) -> bool | None:
        """Whether the limit is kept; None where there is nothing to compare with."""
        figure = ours if self.absolute else ratio
        if figure is None:
            return None
        return figure >= self.limit if self.more else figure <= self.limit


@cache
def small_messages() -> list[bytes]:
    """The small messages of the benchmark, made once."""
    return mail.small(mail.DISTINCT)


def milliseconds(action: Callable[[], object]) -> float:
    """How long this takes."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def median(measure: Callable[[], float], times: int) -> float:
    """The median of so many figures."""
    return statistics.median(measure() for _time in range(times))
