"""What is remembered of one client between commands: its account, its selected mailbox, what it has enabled.

A session opens nothing itself: whoever creates it gives it the functions that send and log in.
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

LogIn = Callable[[Credentials], Store]
"""Opens the store of a user. Raises BadCredentials, AccountUnavailable or AccountUnusable."""


@dataclass(slots=True)
class Session:
    """What is remembered of one client between commands."""

    send: Callable[[bytes], None]
    """Queues octets for the client."""
    log_in: LogIn
    identification: tuple[tuple[str, str], ...] = ()
    """Further pairs of name and value for the response to ID."""
    store_or_none: Store | None = None
    view_or_none: View | None = None
    flush: Callable[[], None] = lambda: None
    """Sends the queued octets now, for what must not wait until the command ends."""
    tag: bytes = b""
    """The tag of the command in progress."""
    condstore: bool = False
    qresync: bool = False
    rev2: bool = False
    """Whether the client has enabled IMAP4rev2."""
    utf8: bool = False
    """Whether the client has enabled UTF8=ACCEPT."""
    saved: list[Range[Uid]] = field(default_factory=list)
    """The value of `$`, as UIDs (RFC 5182)."""
    compressed: bool = False
    own_modseqs: set[ModSeq] = field(default_factory=set)
    """The modseqs of flag changes that this session made and that its client has been told of."""
    told_flags: frozenset[str] = frozenset()
    """The flags and keywords of the last FLAGS response."""
    ending: Goodbye | None = None
    """The BYE that ends the connection once the command in progress is answered; None if it goes on."""
    telling_failed: bool = False
    """Whether something that had happened could not be told with the command in progress."""
    failures: int = 0
    """How many logins have failed."""

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
        """Write the name of a mailbox in the encoding that this client uses."""
        return writer.mailbox(name, utf8=self.unicode)

    def line(self, *pieces: bytes) -> None:
        """Send one untagged response, without its `* ` and line end."""
        self.send(b"* " + b"".join(pieces) + b"\r\n")

    def enable_condstore(self) -> None:
        """Note that the client uses modseqs; the first time, tell it the highest one (RFC 7162 section 3.1.2)."""
        if not self.condstore:
            self.condstore = True
            if self.view_or_none is not None:
                self.line(b"OK [HIGHESTMODSEQ %d] conditional store enabled" % self.view.told.expunged)

    # Sequence sets

    def uid_ranges(self, sequence_set: SequenceSet, *, uid: bool, beyond: bool = False) -> list[Range[Uid]]:
        """Resolve the sequence set of a command.

        Args:
            sequence_set: the sequence set as the client wrote it.
            uid: whether it has UIDs rather than sequence numbers.
            beyond: whether sequence numbers beyond the mailbox mean nothing, as in a search (iOS asks an empty INBOX
                for `1:* NOT DELETED`).

        Returns:
            Ranges of UIDs, which may also hold UIDs of messages that this session does not count.

        Raises:
            Refusal: a sequence number is beyond the mailbox where it must not be (RFC 9051 section 9, seq-number).
        """
        view = self.view
        if sequence_set.saved:
            return self.saved
        if uid:
            return sequence_set.resolve(view.last_uid if sequence_set.has_star else Uid(0))
        view.count_exactly()
        if not beyond and sequence_set.highest_named() > view.exists:
            raise Refusal("BAD", f"there are only {view.exists} messages", "CLIENTBUG")
        return view.uid_ranges(sequence_set.resolve(SeqNum(view.exists)))


def goodbye_damaged(session: Session, reason: Damaged) -> Goodbye:
    """Log that the database is damaged, see that the next login repairs it, and return the BYE."""
    log.command_failed(str(reason))
    if session.store_or_none is not None:
        session.store_or_none.mark_damaged()
    return Goodbye("the mailbox database is damaged; log in again to have it restored", "CORRUPTION")


def goodbye_deleted() -> Goodbye:
    """Return the BYE for a client whose selected mailbox was deleted (RFC 2180 section 3.3)."""
    return Goodbye("the selected mailbox was deleted")
