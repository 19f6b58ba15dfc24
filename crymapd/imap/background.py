"""Files and indexes new mail while the client asks for nothing, and then lets the session rest.

The work is done in slices of a few milliseconds, so that a client that sends a command waits no longer than that.
"""

from __future__ import annotations

import time

from crymapd.channel import Channel
from crymapd.imap import dispatch
from crymapd.imap.session import Session

PAUSE_SECONDS = 0.02
"""How long a client must be silent before work begins, so that a client between two commands is not held up."""
QUIET_SECONDS = 1.0
"""How long a session must be without work and commands before it rests."""
RETRY_SECONDS = 60.0
"""How long a session whose work has failed waits before it tries again."""
_SLICE_SECONDS = 0.005


class Background:
    """The work of one session; before login there is none."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._not_before = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether there is work to be done now."""
        store = self._session.store_or_none
        return store is not None and store.behind and time.monotonic() >= self._not_before

    def work(self) -> None:
        """Do one slice of work."""
        done = dispatch.attempt(self._session, lambda: dispatch.catch_up(self._session, _SLICE_SECONDS))
        if done.status != "OK":  # most likely the disk has a problem, which will not be gone in a millisecond
            self._not_before = time.monotonic() + RETRY_SECONDS

    def rest(self) -> None:
        """Release memory, because most connections are idle; the next command takes a millisecond longer for it."""
        dispatch.attempt(self._session, lambda: dispatch.rest(self._session))

    def fill_wait(self, channel: Channel) -> None:
        """Work until the client sends something or nothing is left to do; then rest, if the client stays silent."""
        if self._session.store_or_none is None:  # before login there is no work, and no memory to release
            return
        if self.is_behind and not channel.is_readable_within(PAUSE_SECONDS):
            while self.is_behind and not channel.is_readable:
                self.work()
        if not channel.is_readable_within(QUIET_SECONDS):
            self.rest()
