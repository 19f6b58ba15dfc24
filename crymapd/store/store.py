"""The store's face: what a protocol may do with one user's mail.

    store.select(name)          a `View`: sequence numbers, flags, rows, searches and changes of one mailbox
    store.mailboxes             the tree of mailboxes (`Mailboxes`)
    store.incoming()            messages brought in by one command (`Incoming`)
    store.read(message)         the octets and parts of one message (`Message`)
    store.headers(messages)     header blocks, from the index or made now
    store.answers(messages)     a protocol's prepared answers, likewise
    store.flags_of(flagset)     the flags of a flag set
    store.flag_names()          every flag that a client may meet
    store.quota                 how much there is and may be (`Quota`)
    store.file_arrivals()       let delivered mail appear
    store.catch_up(), .rest()   work in the time that clients leave

Nothing else of this package is for protocols.  No method lets an exception of the database out: what fails is a
reason of `errors.py`, or an OSError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crymapd.model.flags import SYSTEM_FLAGS
from crymapd.model.numbers import FlagSetId, MessageId
from crymapd.store.account import Unlocked
from crymapd.store.answers import Answers
from crymapd.store.epoch import EpochFile
from crymapd.store.incoming import Incoming
from crymapd.store.indexing import Indexing
from crymapd.store.mailboxes import Recent
from crymapd.store.message import Message
from crymapd.store.parts import open_parts
from crymapd.store.quota import Quota
from crymapd.store.rows import SealedFile
from crymapd.store.searching import Search
from crymapd.store.summary import Prepare
from crymapd.store.view import Tools, View
from crymapd.unix import memory

FILING_SECONDS = 0.1
"""How long a command may wait for delivered mail to be filed."""


class Store:
    """One user's mail, unlocked.

    Attributes:
        mailboxes: the tree of mailboxes.
        quota: what the account's mail takes on disk, and may take.
        max_message_size: octets of the largest message taken.
        hidden_capabilities: what a protocol shall not announce to this account's clients.
    """

    def __init__(
        self,
        account: Unlocked,
        prepare: Prepare,
        max_message_size: int,
        max_storage: int = 0,
        witness: EpochFile | None = None,
    ) -> None:
        """Open the databases, rotate keys, finish what a crash left.

        Args:
            account: whose mail it is.
            prepare: makes a protocol's answers of a message, to be kept in the index.
            max_message_size: octets of the largest message taken.
            max_storage: octets that all sealed files together may have; 0 for no limit.
            witness: a file outside the user directory that shows when an older one was put back (`Meta`).

        Raises:
            NewerStore, StoreBusy, OSError.
        """
        self.max_message_size = max_message_size
        self.hidden_capabilities = account.user.preferences.hidden_capabilities
        self.parts = open_parts(account, witness)
        parts = self.parts
        self.mailboxes = parts.mailboxes
        self.quota = Quota(parts.layout, max_storage)
        self.indexing = Indexing(parts.index, parts.entries, parts.layout.tmp / "index.lock", parts.reader, prepare)
        self._answers = Answers(parts.index, self.indexing)
        search = Search(parts.entries, parts.index, self.indexing, self._answers, parts.reader)
        self._tools = Tools(parts.entries, parts.mailboxes, parts.meta.flagsets, search)
        parts.finish_interrupted(self.indexing.arrived)

    # Mailboxes

    def select(self, name: str, *, read_only: bool, recent: bool = True) -> View:
        """A view of a mailbox, after filing what has arrived; without `recent` its \\Recent are left to others.

        Raises:
            NoSuchMailbox.
        """
        self.file_arrivals()
        with self.parts.meta.snapshot():
            mailbox = self.mailboxes.get(name)
            first_unseen = self.parts.entries.first_unseen(mailbox) if recent else None
        if not recent:
            claimed = Recent(mailbox.next_uid, 0)
        elif read_only:
            claimed = Recent(mailbox.recent_uid, mailbox.recent)
        else:
            claimed = self.mailboxes.claim_recent(mailbox.id, mailbox.next_uid)
        return View(self._tools, mailbox, claimed, first_unseen, read_only=read_only)

    def flags_of(self, flagset: FlagSetId) -> str:
        """The flags of a set, parted by spaces."""
        return self._tools.flagsets.flags_of(flagset)

    def flag_names(self) -> list[str]:
        """Every flag a client may meet in this account."""
        return [*SYSTEM_FLAGS, *self._tools.flagsets.keywords()]

    @property
    def keywords_are_used_up(self) -> bool:
        """Whether the account has as many keywords as it may, so that a client cannot make another."""
        return self._tools.flagsets.is_full

    # Bringing mail in

    def file_arrivals(self) -> int:
        """Let delivered mail appear and return how many messages did; what there is no time for `catch_up` files."""
        return self.parts.filing.file_arrivals(FILING_SECONDS, self.indexing.arrived)

    def incoming(self) -> Incoming:
        """Begin to bring mail in."""
        return Incoming(
            self.parts.layout,
            self.parts.keys.own_recipient,
            self.max_message_size,
            self.parts.entries,
            self.mailboxes,
            self.quota,
            self.indexing.arrived,
        )

    # Reading mail

    def read(self, message: MessageId, known: SealedFile | None = None) -> Message:
        """Open a message; see `MessageReader.read`."""
        return self.parts.reader.read(message, known)

    def sealed_files(self, messages: Iterable[MessageId]) -> dict[MessageId, SealedFile]:
        """What `read` needs to know of messages, asked for together."""
        return self.parts.entries.sealed_files(messages)

    def headers(self, messages: Sequence[MessageId]) -> dict[MessageId, bytes]:
        """Top-level header blocks; messages that are gone are left out."""
        return self._answers.headers(messages)

    def answers(
        self, messages: Sequence[MessageId], names: Sequence[str], *, utf8: bool
    ) -> dict[MessageId, tuple[bytes | None, ...]]:
        """Prepared answers (`index.ANSWERS`) by these names; messages that are gone are left out."""
        return self._answers.answers(messages, names, utf8=utf8)

    # In the time that clients leave

    def catch_up(self, seconds: float) -> None:
        """File what has arrived and index it for SEARCH, for about so long; `behind` says whether there is more."""
        self.parts.filing.file_arrivals(seconds, self.indexing.arrived)
        self.indexing.catch_up(seconds)

    @property
    def behind(self) -> bool:
        """Whether there may be mail to file or to index."""
        return self.indexing.behind or self.parts.filing.more_waits

    def rest(self) -> None:
        """Hold as little memory as can be, since nobody asks for anything."""
        self.parts.index.rest()
        self.parts.meta.db.release_memory()
        memory.trim()

    def renumber(self) -> None:
        """Give every mailbox a new UIDVALIDITY, since a client has proved that the database was put back."""
        self.parts.meta.renumber()

    def mark_damaged(self) -> None:
        """The database turned out to be damaged: the next process that opens it puts it right."""
        self.parts.meta.mark_damaged()

    def close(self) -> None:
        """Note what is in place, close the databases."""
        self.parts.close()
