"""APPEND and MULTIAPPEND (RFC 9051 section 6.3.12, RFC 3502): messages are sealed while they arrive.

The server drives this with the events of `connection`; nothing is visible before `commit`.
"""

from __future__ import annotations

import contextlib

from crymapd.errors import NoSuchMailbox, TooBig
from crymapd.imap.command import message as command
from crymapd.imap.handler.mailbox import existing
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.mime.summary import Summary
from crymapd.model.sequence import format_set
from crymapd.store.entries import NewMessage
from crymapd.store.store import Incoming

MAX_MESSAGES = 1000


class Append:
    """One APPEND command in progress."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cleanup = contextlib.ExitStack()
        self._mailbox = ""
        self._incoming: Incoming | None = None
        self._finished: list[tuple[NewMessage, Summary]] = []
        self._committed = False
        self.tag = b"*"

    def begin(self, fragments: list[bytes], size: int, *, first: bool) -> None:
        """A message is announced.

        Raises:
            BadSyntax, Refusal: do not take it.
        """
        reader = Reader(fragments)
        if first:
            self.tag = fragments[0].partition(b" ")[0]
            name = command.append_target(reader)
            self._session.store  # noqa: B018  # must be logged in
            try:
                self._mailbox = self._session.store.mailboxes.get(existing(name)).name
            except NoSuchMailbox as error:
                raise Refusal("NO", str(error), "TRYCREATE") from None
        head = command.append_head(reader)
        limit = self._session.store.max_message_size
        if size > limit:
            raise Refusal("NO", str(TooBig(limit)), "TOOBIG")
        if not size:
            raise Refusal("NO", "a message cannot be empty")
        if len(self._finished) >= MAX_MESSAGES:
            raise Refusal("NO", f"at most {MAX_MESSAGES} messages at once", "LIMIT")
        sealing, self._incoming = self._session.store.begin_append(self._mailbox, head.flags, head.received)
        self._cleanup.enter_context(sealing)

    def data(self, octets: bytes, *, last: bool) -> None:
        if self._incoming is None:
            raise BadSyntax("no message was announced")
        self._incoming.write(octets)
        if last:
            self._finished.append(self._incoming.finish(self._session.store))
            self._incoming = None

    def commit(self, fragments: list[bytes]) -> Done:
        """The command's last line came: all messages appear at once."""
        Reader(fragments).end()
        try:
            uidvalidity, uids = self._session.store.append(self._mailbox, self._finished)
        except NoSuchMailbox as error:
            raise Refusal("NO", str(error), "TRYCREATE") from None
        self._committed = True
        return ok(code=f"APPENDUID {uidvalidity} {format_set(uids)}")

    def close(self) -> None:
        """Forget what was not committed."""
        self._cleanup.close()
        if not self._committed:
            for message, _summary in self._finished:
                self._session.store.discard(message)
