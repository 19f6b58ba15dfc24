"""IDLE (RFC 2177, RFC 9051 section 6.3.13): tell what happens until the client sends a line."""

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
"""How long a client may be silent after login, in IDLE too: at least 30 minutes (RFC 9051 section 5.4)."""
KEEPALIVE_SECONDS = 14 * 60.0
"""Address translators forget a connection without any traffic."""


def idle(channel: Channel, connection: Connection, session: Session, background: Background) -> bytes:
    """Lead one IDLE command; returns the line with which the client ends it, empty when it was too long.

    Raises:
        TimedOut, Disconnected.
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
        self._pause = PAUSE_SECONDS  # how long nothing must happen before the next slice of work
        self._is_resting = False

    def until_line(self) -> bytes:
        """Tell what happens until the client has sent a line."""
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
        """Wait until something happens, but no longer than some seconds; meanwhile work, then rest."""
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
        """Whether the client sends something or the store changes in time; what was sent is taken, changes are told."""
        if self._channel.has_buffered:
            sent, changed = True, False
        else:
            sent, changed = self._watch.wait(self._channel.fileno(), seconds)
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
        """Tell everything that has happened; if that fails, the log has the reason and the next command meets it."""
        dispatch.attempt(self._session, lambda: dispatch.told_all(self._session, expunges=True))
