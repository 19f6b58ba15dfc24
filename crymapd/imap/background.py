"""What a session does while its client asks for nothing: it files and indexes new mail, then it rests.

The work is cut into slices of a few milliseconds, so that a client never waits longer than that.
"""

from __future__ import annotations

import time

from crymapd.channel import Channel
from crymapd.imap import dispatch
from crymapd.imap.session import Session

PAUSE_SECONDS = 0.02
"""How long a client must be silent before work begins, so that one in the middle of something is not held up."""
QUIET_SECONDS = 1.0
"""How long a session must have nothing to do before it rests."""
RETRY_SECONDS = 60.0
"""How long a session waits after its work has failed before it tries again."""
_SLICE_SECONDS = 0.005


class Background:
    """The work of one session, which has none before login."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._not_before = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether there is work to be done now."""
        store = self._session.store_or_none
        return store is not None and store.behind and time.monotonic() >= self._not_before

    def work(self) -> None:
        """Do one slice."""
        done = dispatch.attempt(self._session, lambda: dispatch.caught_up(self._session, _SLICE_SECONDS))
        if done.status != "OK":  # the disk, most likely: it will not be better in a millisecond
            self._not_before = time.monotonic() + RETRY_SECONDS

    def rest(self) -> None:
        """Release memory, because many connections are hardly used; the next command takes a millisecond longer."""
        dispatch.attempt(self._session, lambda: dispatch.rested(self._session))

    def fill_wait(self, channel: Channel) -> None:
        """Work until the client sends something; rest when it sends nothing for a while."""
        if self._session.store_or_none is None:  # before login there is nothing to do, and nothing held
            return
        if self.is_behind and not channel.is_readable_within(PAUSE_SECONDS):
            while self.is_behind and not channel.is_readable:
                self.work()
        if not channel.is_readable_within(QUIET_SECONDS):
            self.rest()
