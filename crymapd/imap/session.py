"""One client's conversation: who it is, what it has selected, how to answer it.

The session reaches no socket: octets go out through `send`, logins through `authenticate`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crymapd import log
from crymapd.authentication.credentials import Credentials
from crymapd.errors import Damaged
from crymapd.imap.response import Goodbye, Refusal
from crymapd.imap.state import State
from crymapd.imap.wire import writer
from crymapd.model.numbers import ModSeq, SeqNum, Uid
from crymapd.model.sequence import Range, SequenceSet
from crymapd.store.store import Store
from crymapd.store.view import View

Authenticate = Callable[[Credentials], Store]
"""Credentials to an opened store; raises BadCredentials, AccountUnusable and others."""


@dataclass(slots=True)
class Session:
    """What is remembered between commands."""

    send: Callable[[bytes], None]
    authenticate: Authenticate
    identification: tuple[tuple[str, str], ...] = ()
    store_or_none: Store | None = None
    view_or_none: View | None = None
    flush: Callable[[], None] = lambda: None
    """Sends what was queued, for answers that must not wait for the command's end."""
    tag: bytes = b""
    """Of the command being done."""
    condstore: bool = False
    qresync: bool = False
    rev2: bool = False
    utf8: bool = False
    saved: list[Range[Uid]] = field(default_factory=list)
    """`$`, as UIDs (RFC 5182)."""
    compressed: bool = False
    own_modseqs: set[ModSeq] = field(default_factory=set)
    """Modseqs of flag changes of ours that the client knows of."""
    told_keywords: int = 0
    ending: Goodbye | None = None
    """Ends the connection once the command in progress is answered."""
    telling_failed: bool = False
    """Whether the command in progress could not tell all that happened."""
    failures: int = 0

    @property
    def state(self) -> State:
        if self.store_or_none is None:
            return State.NOT_AUTHENTICATED
        return State.AUTHENTICATED if self.view_or_none is None else State.SELECTED

    @property
    def store(self) -> Store:
        if self.store_or_none is None:
            raise Refusal("BAD", "log in first")
        return self.store_or_none

    @property
    def view(self) -> View:
        if self.view_or_none is None:
            raise Refusal("BAD", "select a mailbox first")
        return self.view_or_none

    @property
    def writable_view(self) -> View:
        if self.view.read_only:
            raise Refusal("NO", "the mailbox was opened with EXAMINE", "CANNOT")
        return self.view

    @property
    def unicode(self) -> bool:
        """Whether the client takes UTF-8 in quoted strings and mailbox names (RFC 6855, RFC 9051 appendix A)."""
        return self.rev2 or self.utf8

    def deselect(self) -> None:
        self.view_or_none = None
        self.saved = []
        self.own_modseqs.clear()

    def mailbox_name(self, name: str) -> bytes:
        """As this client reads it."""
        return writer.mailbox(name, utf8=self.unicode)

    def line(self, *pieces: bytes) -> None:
        """One untagged response."""
        self.send(b"* " + b"".join(pieces) + b"\r\n")

    def enable_condstore(self) -> None:
        """The first CONDSTORE-enabling command tells the modseq (RFC 7162 section 3.1.2)."""
        if not self.condstore:
            self.condstore = True
            if self.view_or_none is not None:
                self.line(b"OK [HIGHESTMODSEQ %d] conditional store enabled" % self.view.told.expunged)

    # Numbers of messages

    def uid_ranges(self, numbers: SequenceSet, *, uid: bool) -> list[Range[Uid]]:
        """The UID ranges a command addresses.

        Raises:
            Refusal: a sequence number beyond the mailbox (RFC 9051 section 9, seq-number).
        """
        view = self.view
        if numbers.saved:
            return self.saved
        if uid:
            return numbers.resolve(view.last_uid if numbers.has_star else Uid(0))
        view.count_exactly()
        if numbers.highest_named() > view.exists:
            raise Refusal("BAD", f"there are only {view.exists} messages", "CLIENTBUG")
        return view.uid_ranges(numbers.resolve(SeqNum(view.exists)))


def goodbye_damaged(session: Session, reason: Damaged) -> Goodbye:
    """The database is damaged: the next login puts it right."""
    log.command_failed(str(reason))
    if session.store_or_none is not None:
        session.store_or_none.mark_damaged()
    return Goodbye("the mailbox database is damaged; log in again to have it restored", "CORRUPTION")


def goodbye_deleted() -> Goodbye:
    """RFC 2180 section 3.3: a server may disconnect who has a deleted mailbox selected."""
    return Goodbye("the selected mailbox was deleted")
