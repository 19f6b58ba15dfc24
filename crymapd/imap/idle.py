"""IDLE (RFC 2177, RFC 9051 section 6.3.13), which tells what other sessions do until the client sends a line."""

from __future__ import annotations

import time
from contextlib import closing

from crymapd.channel import Channel, Disconnected, TimedOut
from crymapd.imap import dispatch
from crymapd.imap.background import PAUSE_SECONDS, QUIET_SECONDS, Background
from crymapd.imap.connection import Connection, Continuation
from crymapd.imap.session import Session
from crymapd.store.watch import StoreWatch

AUTOLOGOUT_SECONDS = 31 * 60.0
"""How long a client may be silent after login, in IDLE too; at least 30 minutes (RFC 9051 section 5.4)."""
KEEPALIVE_SECONDS = 14 * 60.0
"""How long IDLE goes without a line from us, because address translators forget a connection without traffic."""


def idle(channel: Channel, connection: Connection, session: Session, background: Background) -> bytes:
    """Carry out one IDLE command.

    Returns:
        The line with which the client has ended it, or nothing if that line was too long.

    Raises:
        TimedOut: the client was silent for too long.
        Disconnected: the client has closed the connection.
    """
    with closing(StoreWatch(session.store)) as watch:
        return _Idle(channel, connection, session, background, watch).until_line()


class _Idle:
    """One IDLE command in progress."""

    def __init__(
        self, channel: Channel, connection: Connection, session: Session, background: Background, watch: StoreWatch
    ) -> None:
        self._channel = channel
        self._connection = connection
        self._session = session
        self._background = background
        self._watch = watch
        self._pause = PAUSE_SECONDS  # how long the client must be silent before the next slice of work
        self._is_resting = False

    def until_line(self) -> bytes:
        """Tell what other sessions do until the client has sent a line, and return that line."""
        self._channel.write(b"+ idling\r\n")
        self._tell()
        self._connection.expect_continuation()
        deadline = time.monotonic() + AUTOLOGOUT_SECONDS
        keepalive = time.monotonic() + KEEPALIVE_SECONDS
        while True:
            self._channel.flush()
            event = self._connection.next_event()
            if event is not None:
                return event.line if isinstance(event, Continuation) else b""
            now = time.monotonic()
            if now >= deadline:
                raise TimedOut("idle for too long")
            if now >= keepalive:
                self._channel.write(b"* OK still here\r\n")
                keepalive = now + KEEPALIVE_SECONDS
            else:
                self._wait(min(deadline, keepalive) - now)

    def _wait(self, seconds: float) -> None:
        """Do a slice of work, or rest, or wait until something happens, but no longer than some seconds."""
        if self._background.is_behind:
            if self._happens_within(self._pause):
                self._pause = PAUSE_SECONDS
            else:
                self._background.work()
                self._pause = 0
        elif self._is_resting:
            self._is_resting = not self._happens_within(seconds)
        elif not self._happens_within(QUIET_SECONDS):
            self._background.rest()
            self._is_resting = True

    def _happens_within(self, seconds: float) -> bool:
        """Receive what the client sends and tell what changes in the store; return whether either happened in time."""
        if self._channel.has_buffered:
            sent, changed = True, False
        else:
            sent, changed = self._watch.wait(self._channel.awaited, seconds)
        if changed:
            self._tell()
            self._channel.flush()
        if sent:
            data = self._channel.read(AUTOLOGOUT_SECONDS)
            if not data:
                raise Disconnected("the client closed the connection")
            self._connection.receive_data(data)
        return sent or changed

    def _tell(self) -> None:
        """Tell all changes; if that fails, the reason is logged, and the next command will meet it too."""
        dispatch.attempt(self._session, lambda: dispatch.tell_changes(self._session, expunges=True))
