"""Signals that end a process, which can be held back during critical work or turned into a request to end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGINT)
_DELAYED = (*ENDING, signal.SIGHUP)  # which ends a process as well, until it has a handler for it
GRACE_SECONDS = 10
"""How long a process that was asked to end may go on with what it has begun."""


class EndRequest:
    """A request to end, made by a signal. `poll` can wait for it, so a process ends between two steps, not within one.

    A process that does not come to an end within `GRACE_SECONDS` is ended by the kernel.
    """

    def __init__(self) -> None:
        self.is_made = False
        self._read, self._write = os.pipe()
        for fd in (self._read, self._write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # only the listener acts on it; `pkill -HUP` reaches all
        for signum in ENDING:
            signal.signal(signum, self._note)

    def _note(self, _signal: int, _frame: object) -> None:
        self.is_made = True
        signal.alarm(GRACE_SECONDS)

    def fileno(self) -> int:
        """A descriptor that can be read once the request is made."""
        return self._read

    @property
    def descriptors(self) -> tuple[int, int]:
        """Everything that is open for this, so that a child can close it."""
        return self._read, self._write


def end_as_usual() -> None:
    """Have the signals end this process again, which was forked from one that handles them otherwise."""
    signal.set_wakeup_fd(-1)
    for signum in _DELAYED:
        signal.signal(signum, signal.SIG_DFL)


@contextmanager
def put_off() -> Iterator[None]:
    """Delay the signals that end a process until the block is left.

    In a process that is forked within the block they stay delayed until it calls `let_through`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _DELAYED)
    try:
        yield
    finally:
        let_through()


def let_through() -> None:
    """Let the signals that end a process through again."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _DELAYED)
