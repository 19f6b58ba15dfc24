"""The store's face: what a protocol may do with one user's mail.

    store.select(name)          a `View` of one mailbox: sequence numbers, flags, rows, searches, changes
    store.mailboxes             the tree of mailboxes (`Mailboxes`)
    store.incoming()            messages brought in by one command (`Incoming`)
    store.read(message)         the octets and MIME parts of one message (`Message`)
    store.sealed_files(messages)  where messages are read from, asked for many of them together
    store.headers(messages)     header blocks, from the index or made now
    store.answers(messages)     a protocol's prepared answers, from the index or made now
    store.flags_of(flagset)     the flags of a flag set
    store.keywords_are_used_up  whether the account can have no more keywords
    store.quota                 how much the mail takes on disk, and how much it may take (`Quota`)
    store.file_arrivals()       files arrivals, so that sessions see them
    store.behind, .catch_up(), .rest()  what is done while clients are quiet
    store.renumber()            new UIDVALIDITYs, when a client proves that the database is older than what it saw
    store.mark_damaged()        has the next login check the database
    store.max_message_size, .hidden_capabilities  what the configuration and the account's preferences say
    store.close()               closes everything

A protocol uses nothing else of this package.  No exception of the database leaves it: what fails raises a reason of
`errors.py`, or OSError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crymapd.model.numbers import FlagSetId, MessageId
from crymapd.store.account import Unlocked
from crymapd.store.answers import Answers
from crymapd.store.components import open_components
from crymapd.store.epoch import EpochFile
from crymapd.store.incoming import Incoming
from crymapd.store.indexing import Indexing
from crymapd.store.mailboxes import Recent
from crymapd.store.message import Message
from crymapd.store.quota import Quota
from crymapd.store.rows import SealedFile
from crymapd.store.searching import Searcher
from crymapd.store.summary import Prepare
from crymapd.store.view import Tools, View
from crymapd.unix import memory

FILING_SECONDS = 0.1
"""How long a command may spend on filing arrivals."""
SIBLING_SECONDS = 2.0
"""How long a command waits for another session that is filing: on a busy machine 0.1 s of work may take that long."""


class Store:
    """One user's mail, unlocked.

    Attributes:
        mailboxes: the tree of mailboxes.
        quota: how much the account's mail takes on disk, and how much it may take.
        max_message_size: octets of the largest message that is accepted.
        hidden_capabilities: capabilities that a protocol does not announce to this account's clients.
    """

    def __init__(
        self,
        unlocked: Unlocked,
        prepare: Prepare,
        max_message_size: int,
        max_storage: int = 0,
        witness: EpochFile | None = None,
    ) -> None:
        """Open the databases, rotate the keys, and finish what a crash has interrupted.

        Args:
            unlocked: the account to open.
            prepare: makes a protocol's prepared answers about a message, which the index keeps.
            max_message_size: octets of the largest message that is accepted.
            max_storage: octets that all sealed files may take together; 0 for no limit.
            witness: a file outside the user directory that shows when an older one was put back (`Meta`).

        Raises:
            NewerStore, StoreBusy, OSError.
        """
        self.max_message_size = max_message_size
        self.hidden_capabilities = unlocked.user.preferences.hidden_capabilities
        self.components = its = open_components(unlocked, witness)
        self.mailboxes = its.mailboxes
        its.filing.largest = max(max_message_size, its.filing.largest)
        self.quota = Quota(its.layout, max_storage)
        self.indexing = Indexing(its.index, its.entries, its.layout.tmp / "index.lock", its.reader, prepare)
        self._answers = Answers(its.index, self.indexing)
        search = Searcher(its.entries, its.index, self.indexing, self._answers, its.reader)
        self._tools = Tools(its.entries, its.mailboxes, its.meta.flagsets, search)
        its.finish_interrupted(self.indexing.arrived)

    # Mailboxes

    def select(self, name: str, *, read_only: bool, recent: bool = True) -> View:
        """Select a mailbox, after filing what has arrived.

        Args:
            name: the canonical name of the mailbox.
            read_only: whether the session may only read, as after EXAMINE.
            recent: whether the session is told which messages are \\Recent; otherwise the next session is.

        Raises:
            NoSuchMailbox.
        """
        self.file_arrivals()
        with self.components.meta.snapshot():
            mailbox = self.mailboxes.get(name)
            first_unseen = self.components.entries.first_unseen(mailbox) if recent else None
        if not recent:
            claimed = Recent(mailbox.next_uid, 0)
        elif read_only:
            claimed = Recent(mailbox.recent_uid, mailbox.recent)
        else:
            claimed = self.mailboxes.claim_recent(mailbox.id, mailbox.next_uid)
        return View(self._tools, mailbox, claimed, first_unseen, read_only=read_only)

    def flags_of(self, flagset: FlagSetId) -> str:
        """Return the flags of a set, separated by spaces."""
        return self._tools.flagsets.flags_of(flagset)

    @property
    def keywords_are_used_up(self) -> bool:
        """Whether the account has as many keywords as it may have, so that a client cannot create another."""
        return self._tools.flagsets.is_full

    # Bringing mail in

    def file_arrivals(self) -> int:
        """File arrivals for `FILING_SECONDS` and return how many were filed; `catch_up` files the rest."""
        return self.components.filing.file_arrivals(FILING_SECONDS, self.indexing.arrived, patience=SIBLING_SECONDS)

    def incoming(self) -> Incoming:
        """Begin to bring in the messages of one command."""
        return Incoming(
            self.components.layout,
            self.components.keys.own_recipient,
            self.max_message_size,
            self.components.entries,
            self.mailboxes,
            self.quota,
            self.indexing.arrived,
        )

    # Reading mail

    def read(self, message: MessageId, sealed_file: SealedFile | None = None) -> Message:
        """Open a message; see `MessageReader.read`."""
        return self.components.reader.read(message, sealed_file)

    def sealed_files(self, messages: Iterable[MessageId]) -> dict[MessageId, SealedFile]:
        """Ask for many messages together what `read` needs to know of each."""
        return self.components.entries.sealed_files(messages)

    def headers(self, messages: Sequence[MessageId]) -> dict[MessageId, bytes]:
        """Return top-level header blocks; messages that cannot be read are left out."""
        return self._answers.headers(messages)

    def answers(
        self, messages: Sequence[MessageId], names: Sequence[str], *, utf8: bool
    ) -> dict[MessageId, tuple[bytes | None, ...]]:
        """Return the prepared answers with these names (from `index.ANSWERS`); see `Answers.answers`."""
        return self._answers.answers(messages, names, utf8=utf8)

    # While clients are quiet

    def catch_up(self, seconds: float) -> None:
        """File and index for about so many seconds each; `behind` says afterwards whether there is more to do."""
        self.components.filing.file_arrivals(seconds, self.indexing.arrived)
        self.indexing.catch_up(seconds)

    @property
    def behind(self) -> bool:
        """Whether there may be mail to file or to index."""
        return self.indexing.behind or self.components.filing.more_waits

    def rest(self) -> None:
        """Give back as much memory as possible while no client asks for anything."""
        self.components.index.rest()
        self.components.meta.db.release_memory()
        memory.trim()

    def renumber(self) -> None:
        """Give every mailbox a new UIDVALIDITY, since a client has proved that the database was put back."""
        self.components.meta.renumber()

    def mark_damaged(self) -> None:
        """Note that the database turned out to be damaged; the next process that opens it repairs it."""
        self.components.meta.mark_damaged()

    def close(self) -> None:
        """Note which files are placed, and close the databases."""
        self.components.close()
