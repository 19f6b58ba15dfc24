"""Leads APPEND and REPLACE from the announcement of a message to the end of the command.

This module decides about each literal that `connection` announces: a message of APPEND or REPLACE is streamed, and any
other literal is kept. `handler/append.py` stores the messages.
"""

from __future__ import annotations

from collections.abc import Callable

from crymapd.imap import dispatch, update
from crymapd.imap.command.message import message_follows
from crymapd.imap.connection import Connection
from crymapd.imap.handler.append import Append
from crymapd.imap.response import Done, ok
from crymapd.imap.session import Session
from crymapd.imap.state import State


class Appending:
    """Carries out the APPEND and REPLACE commands of one connection, one at a time."""

    def __init__(self, session: Session, connection: Connection) -> None:
        self._session = session
        self._connection = connection
        self._append = Append(session)
        self.in_progress = False
        """Whether an APPEND or REPLACE has announced a message and has not ended."""
        self.refusal: Done | None = None
        """The answer to the command in progress, if it was refused and its rest is being passed over."""

    def decide_literal(self, fragments: list[bytes], size: int) -> None:
        """Keep or stream the literal that was announced after these fragments, or refuse its command."""
        if not self.in_progress and not self._begins_append(fragments):
            self._connection.keep_literal()
            return
        first, self.in_progress = not self.in_progress, True
        if self._attempt(lambda: self._append.begin(fragments, size, first=first)):
            self._connection.stream_literal()

    def _begins_append(self, fragments: list[bytes]) -> bool:
        return self._session.state is not State.NOT_AUTHENTICATED and message_follows(fragments)

    def take_data(self, data: bytes, *, last: bool) -> None:
        """Store some octets of the message; if that fails, pass over the rest of the command."""
        self._attempt(lambda: self._append.data(data, last=last))

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Do a part of the command, and return whether that went well; otherwise the command is refused."""

        def act() -> Done:
            action()
            return ok()

        done = dispatch.attempt(self._session, act)
        if done.status == "OK":
            return True
        self.refusal = done
        self._connection.pass_over()
        return False

    def finish(self, fragments: list[bytes]) -> tuple[bytes, Done]:
        """Commit the messages and tell what other sessions did; return the tag and the answer of the command."""
        session, append = self._session, self._append
        done = dispatch.attempt(session, lambda: append.commit(fragments))
        self.end()
        with update.telling(session):
            update.tell(session, expunges=True)
        update.note_delay(session)
        return append.tag, dispatch.with_highest_modseq(session, done)

    def end(self) -> None:
        """Forget messages that have not been committed, and be ready for another command."""
        self._append.close()
        self._append = Append(self._session)
        self.in_progress = False
        self.refusal = None
