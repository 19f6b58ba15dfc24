"""Waiting for what another program does: look again and again, up to a deadline, never simply sleep."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

STEP_SECONDS = 0.02


def until(condition: Callable[[], object], seconds: float = 30.0, what: Callable[[], str] = lambda: "") -> None:
    """Return as soon as the condition holds; `what` describes the failure when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds: {what()}"
        pause()


def pause() -> None:
    """One step."""
    select.select([], [], [], STEP_SECONDS)
