"""APPEND, MULTIAPPEND and REPLACE (RFC 9051 section 6.3.12, RFC 3502, RFC 8508), which seal messages as they arrive.

`imap/appending` calls this for the events of `connection`. No message is visible before `commit`.
"""

from __future__ import annotations

from collections.abc import Sequence

from crymapd.errors import NoSuchMailbox, TooBig
from crymapd.imap import update
from crymapd.imap.command import message as command
from crymapd.imap.handler.mailbox import existing, tell_name
from crymapd.imap.response import Done, Refusal, ok
from crymapd.imap.session import Session
from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.model.numbers import MailboxId, Uid
from crymapd.model.sequence import Range, format_set
from crymapd.store.incoming import Incoming

MAX_MESSAGES = 1000
"""The most messages of one command."""


class Append:
    """One APPEND or REPLACE command in progress."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._incoming: Incoming | None = None
        self._mailbox = self._asked_mailbox = ""
        self._replaced: tuple[MailboxId, Sequence[Range[Uid]]] | None = None
        self._in_utf8 = False
        self.tag = b"*"

    def begin(self, fragments: list[bytes], size: int, *, first: bool) -> None:
        """Begin a message that the client has announced.

        Args:
            fragments: the command up to the announcement or, after the first message, since the last one.
            size: the octets of the message.
            first: whether this is the first message of the command.

        Raises:
            BadSyntax: the command does not follow the grammar.
            Refusal: the message cannot be taken.
            CrymapError: the store cannot take the message, for example OverQuota.
        """
        reader = Reader(fragments, utf8=self._session.unicode)
        if first:
            self.tag = fragments[0].partition(b" ")[0]
            self._begin_command(command.append_target(reader))
        elif self._replaced is not None:
            raise BadSyntax("REPLACE expects one message")
        head = self._head(reader)
        store = self._session.store
        if size > store.max_message_size:
            raise Refusal("NO", str(TooBig(store.max_message_size)), "TOOBIG")
        if not size:
            raise Refusal("NO", "a message must have at least one octet")
        if self._incoming is None:
            self._incoming = store.incoming()
        if len(self._incoming) >= MAX_MESSAGES:
            raise Refusal("NO", f"one APPEND takes at most {MAX_MESSAGES} messages", "LIMIT")
        if self._replaced is None:  # the message that REPLACE removes makes room (RFC 8508 section 3.4)
            store.quota.check(self._incoming.octets)
        self._incoming.begin(self._mailbox, head.flags, head.received)

    def _begin_command(self, target: command.AppendTarget) -> None:
        session = self._session
        session.store  # noqa: B018  # raises Refusal before login
        if target.replaced is not None:
            view = session.writable_view
            if target.uid:
                update.tell(session, expunges=True)  # so that a message that has just arrived can be replaced
            ranges = session.uid_ranges(target.replaced, uid=target.uid)
            if not view.known(ranges):
                raise Refusal("NO", "there is no such message to replace", "NONEXISTENT")
            self._replaced = view.mailbox.id, ranges
        self._asked_mailbox = target.mailbox
        try:
            self._mailbox = session.store.mailboxes.get(existing(target.mailbox)).name
        except NoSuchMailbox as error:
            raise Refusal("NO", str(error), "TRYCREATE") from None

    def _head(self, reader: Reader) -> command.AppendHead:
        self._end_utf8(reader)
        head = command.append_head(reader)
        if head.utf8 and not self._session.unicode:
            raise Refusal("NO", "APPEND with UTF8 (...) needs ENABLE UTF8=ACCEPT first", "CANNOT")
        self._in_utf8 = head.utf8
        return head

    def _end_utf8(self, reader: Reader) -> None:
        """Read the parenthesis that closes `UTF8 (`, if one was open."""
        if self._in_utf8:
            reader.text(b")")
            self._in_utf8 = False

    def data(self, octets: bytes, *, last: bool) -> None:
        if self._incoming is None or not self._incoming.is_arriving:
            raise BadSyntax("no message was announced")
        self._incoming.write(octets)
        if last:
            self._incoming.end()

    def commit(self, fragments: list[bytes]) -> Done:
        """Make all messages visible at once, remove the one that is replaced, and return the answer."""
        reader = Reader(fragments)
        self._end_utf8(reader)
        reader.end()
        if self._incoming is None:
            raise BadSyntax("APPEND expects a message")
        try:
            added = self._incoming.commit(self._mailbox, self._replaced)
        except NoSuchMailbox as error:
            raise Refusal("NO", str(error), "TRYCREATE") from None
        with update.telling(self._session):
            tell_name(self._session, self._mailbox, self._asked_mailbox)
        code = f"APPENDUID {added.uidvalidity} {format_set(added.uids)}"
        if self._replaced is None:
            return ok(code=code)
        # RFC 8508 section 4.3: the code is sent before the EXPUNGE, so it cannot be in the tagged answer.
        self._session.line(b"OK [", code.encode(), b"] replaced")
        return ok()

    def close(self) -> None:
        """Forget all messages that were not committed."""
        if self._incoming is not None:
            self._incoming.close()
