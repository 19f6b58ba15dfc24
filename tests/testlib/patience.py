"""Waiting for what another program does: look again and again, up to a deadline, never simply sleep.

Tests run on machines that are busy with other things as well. How long they wait for what must come is therefore no
measure of how fast it comes: what costs too much is found by counting work (`process.bounded`, `linear`), and
`PATIENCE_SECONDS` only ends a test that would never end.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

PATIENCE_SECONDS = 120.0
STEP_SECONDS = 0.02


def until(
    condition: Callable[[], object], seconds: float = PATIENCE_SECONDS, what: Callable[[], str] = lambda: ""
) -> None:
    """Return as soon as the condition holds; `what` describes the failure when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds: {what()}"
        pause()


def pause() -> None:
    """One step."""
    select.select([], [], [], STEP_SECONDS)
