"""Delaying the signals that end a process, for a moment when ending would leave something behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def put_off() -> Iterator[None]:
    """Delay the signals that end a process until the block is left.

    In a process that is forked within the block they stay delayed until it calls `let_through`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        let_through()


def let_through() -> None:
    """Let the signals that end a process through again."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
