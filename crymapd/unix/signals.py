"""The signals that end a process, put off while that would leave something behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def put_off() -> Iterator[None]:
    """They are delivered afterwards; a process forked meanwhile has them put off until it calls `let_through`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        let_through()


def let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
