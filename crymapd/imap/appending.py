"""The conversation of APPEND and REPLACE, from the announcement of a message to the end of the command.

This module decides about every literal that `connection` announces: the messages of APPEND and REPLACE are streamed,
and all other literals are kept. `handler/append.py` stores the messages.
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
    """Leads the APPEND and REPLACE commands of one connection, one at a time."""

    def __init__(self, session: Session, connection: Connection) -> None:
        self._session = session
        self._connection = connection
        self._append = Append(session)
        self.in_progress = False
        """Whether a message has been announced and its command has not ended."""

    def decide_literal(self, fragments: list[bytes], size: int) -> None:
        """Keep, stream or refuse the literal that was announced after some fragments."""
        if not self.in_progress and not self._begins_append(fragments):
            self._connection.keep_literal()
            return
        first, self.in_progress = not self.in_progress, True
        begun = self._attempt(lambda: self._append.begin(fragments, size, first=first))
        if begun.status == "OK":
            self._connection.stream_literal()
        else:
            self._connection.refuse_literal(begun)

    def _begins_append(self, fragments: list[bytes]) -> bool:
        return self._session.state is not State.NOT_AUTHENTICATED and message_follows(fragments)

    def take_data(self, data: bytes, *, last: bool) -> None:
        """Take some octets of the message; when that fails, the rest of the command is passed over."""
        taken = self._attempt(lambda: self._append.data(data, last=last))
        if taken.status != "OK":
            self._connection.refuse_rest(taken)

    def _attempt(self, action: Callable[[], None]) -> Done:
        def acted() -> Done:
            action()
            return ok()

        return dispatch.attempt(self._session, acted)

    def finish(self, fragments: list[bytes]) -> tuple[bytes, Done]:
        """Commit the messages and tell the client what else is new; returns the command's tag and its answer."""
        session, append = self._session, self._append
        done = dispatch.attempt(session, lambda: append.commit(fragments))
        self.end()
        with update.telling(session):
            update.tell(session, expunges=True)
        update.note_delay(session)
        return append.tag, dispatch.with_highest_modseq(session, done)

    def end(self) -> None:
        """Forget what has not been committed and wait for another command."""
        self._append.close()
        self._append = Append(self._session)
        self.in_progress = False
