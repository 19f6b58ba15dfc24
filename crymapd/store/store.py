"""The opened store of one user: everything a session needs, put together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Container, Sequence

from crymapd import log
from crymapd.crypto.secret import Secret
from crymapd.errors import CrymapError, Damaged, KeyMissing, MessageGone, MessageUnavailable
from crymapd.mime.summary import Summary
from crymapd.model.flags import SYSTEM_FLAGS
from crymapd.store import notes
from crymapd.store.account import Unlocked
from crymapd.store.entries import Entries
from crymapd.store.filing import Filing
from crymapd.store.incoming import Incoming
from crymapd.store.index import Index
from crymapd.store.indexing import Indexing
from crymapd.store.keys import KeyStore
from crymapd.store.lookup import SealedFile
from crymapd.store.mailboxes import Mailboxes
from crymapd.store.messages import UNKNOWN_KEY, Opened
from crymapd.store.meta import Meta
from crymapd.store.quota import Quota
from crymapd.store.reading import Message, Streamed, Whole
from crymapd.store.view import View
from crymapd.unix import files, memory

_SMALL = 1 << 20
"""Octets of a message that is held whole."""
FILING_SECONDS = 0.5
"""How long a command may wait for delivered mail to be filed."""


class Store:
    """One user's mail, unlocked."""

    def __init__(self, account: Unlocked, max_message_size: int, max_storage: int = 0) -> None:
        """Open the databases, rotate keys, finish what a crash left.

        Args:
            account: whose.
            max_message_size: octets of the largest message taken.
            max_storage: octets that all sealed files together may have; 0 for no limit.

        Raises:
            NewerStore, StoreBusy, OSError.
        """
        self.layout = account.layout
        self.layout.make()
        self.max_message_size = max_message_size
        self.hidden_capabilities = account.user.preferences.hidden_capabilities
        self.quota = Quota(self.layout, max_storage)
        self._account_id = account.user.account_id
        self.keys = KeyStore(self.layout, account.master, self._account_id)
        self.keys.rotate(account.user.keys, time.time())
        self.meta = Meta(self.layout, account.master)
        self.mailboxes = Mailboxes(self.meta)
        self.entries = Entries(self.meta)
        self.index = Index(self.layout, account.master, self.meta)
        self.mailboxes.provide_defaults()
        self.indexing = Indexing(self.index, self.entries, self.layout.tmp / "index.lock", self.read)
        self.filing = Filing(
            self.layout, self.keys, self._account_id, self.mailboxes, self.entries, self.indexing.arrived
        )
        self.filing.finish_interrupted()
        if self.layout.recovering.exists() and self.filing.recover_orphans():
            files.remove(self.layout.recovering)

    def file_arrivals(self, seconds: float = FILING_SECONDS) -> int:
        """Let delivered mail appear: how many. What there is no time for comes while the client waits (`catch_up`)."""
        return self.filing.file_arrivals(seconds)

    def flag_names(self) -> list[str]:
        """Every flag a client may meet in this account."""
        return [*SYSTEM_FLAGS, *self.meta.keywords()]

    def select(self, name: str, *, read_only: bool, recent: bool = True) -> View:
        """A view of a mailbox, after filing what has arrived; without `recent` its \\Recent are for others.

        Raises:
            NoSuchMailbox.
        """
        self.file_arrivals()
        mailbox = self.mailboxes.get(name)
        if not recent:
            first, count = mailbox.next_uid, 0
        elif read_only:
            first, count = mailbox.recent_uid, mailbox.recent
        else:
            first, count = self.mailboxes.claim_recent(mailbox)
        return View(self.entries, mailbox, first, count, read_only=read_only)

    # Bringing mail in

    def incoming(self) -> Incoming:
        """Begin to bring mail in."""
        return Incoming(
            self.layout,
            self.keys.own_recipient,
            self.max_message_size,
            self.entries,
            self.mailboxes,
            self.indexing,
            self.quota,
        )

    # Reading mail

    def headers(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Top-level header blocks, from the index or read now; messages that are gone are left out."""
        found = self.index.headers(numbers)
        for number, summary in self._missing(numbers, found):
            found[number] = summary.header
        return found

    def rendered(
        self, numbers: Sequence[int], names: Sequence[str], *, utf8: bool
    ) -> dict[int, tuple[bytes | None, ...]]:
        """Answers (`index.RENDERED`) ready for the wire, from the index or made now."""
        found = self.index.rendered(numbers, names, utf8=utf8)
        for number, summary in self._missing(numbers, found):
            found[number] = summary.rendered(names, utf8=utf8)
        return found

    def _missing(self, numbers: Sequence[int], found: Container[int]) -> list[tuple[int, Summary]]:
        made: list[tuple[int, Summary]] = []
        kept: list[tuple[int, Summary]] = []
        for number in numbers:
            if number not in found:
                with contextlib.suppress(MessageGone, MessageUnavailable):
                    summary, is_note = self.indexing.summary(number)
                    made.append((number, summary))
                    if not is_note:
                        kept.append(made[-1])
        if kept:
            self.index.put(kept)
        return made

    def catch_up(self, seconds: float) -> None:
        """File what has arrived and index it for SEARCH, for about so long; `behind` says whether there is more."""
        self.filing.file_arrivals(seconds)
        self.indexing.catch_up(seconds)

    @property
    def behind(self) -> bool:
        """Whether there may be mail to file or to index."""
        return self.indexing.behind or self.filing.more_waits

    def read(self, number: int, known: SealedFile | None = None) -> Message:
        """A message's octets by its id (and what `entries.sealed_files` knows); a context manager.

        A missing or damaged file is reported once and read as a note about it; a file that has come
        back is read again.

        Raises:
            MessageGone: it was expunged and purged.
        """
        known = known or self.entries.sealed_files([number]).get(number)
        if known is None:
            raise MessageGone(f"message {number} was expunged")
        file, damaged = known[0], known[3]
        try:
            return self._opened(number, known)
        except MessageGone:
            reason = "the file is missing"
            log.message_missing(file.hex())
        except OSError as error:
            log.message_unavailable(file.hex(), error.strerror or str(error))
            raise MessageUnavailable(f"message {number}: {error.strerror or error}") from error
        except (Damaged, KeyMissing) as error:
            reason = str(error)
            log.message_damaged(file.hex(), reason)
        return self._note(number, file, reason, damaged)

    def _opened(self, number: int, known: SealedFile) -> Message:
        file, sealed_key, size, damaged = known
        opened = Opened(self.layout, file)
        try:
            body_key = self._body_key(sealed_key, opened)
            if damaged is not None:
                size = sum(map(len, opened.pieces(body_key)))
                self._remember(number, size, None)
            if size > _SMALL:
                return Streamed(opened, body_key, size, lambda error: self._failed(number, file, error))
            whole = opened.whole(body_key)
        except BaseException:
            opened.close()
            raise
        opened.close()
        return Whole(whole)

    def _body_key(self, known: bytes, opened: Opened) -> Secret:
        """That of the row; one that could not be had at filing is in the sealed head."""
        if known == UNKNOWN_KEY:
            known = opened.head.open(self.keys.opening(opened.head.key_name), self._account_id).body_key
        return Secret(known)

    def _note(self, number: int, file: bytes, reason: str, known: str | None) -> Message:
        text = notes.note(file, reason)
        if known != reason:
            self._remember(number, len(text), reason)
        if known != reason or self.index.indexed([number]):  # by another session, that had read it before
            self.indexing.forget([number], purged=False)
        return Whole(text, is_note=True)

    def _remember(self, number: int, size: int, damaged: str | None) -> None:
        """Where that cannot be written, the next who reads it finds out again."""
        with contextlib.suppress(CrymapError, OSError):
            self.entries.set_condition(number, size, damaged)

    def _failed(self, number: int, file: bytes, error: Exception) -> None:
        """A large message could not be read to its end."""
        if isinstance(error, OSError):
            log.message_unavailable(file.hex(), error.strerror or str(error))
        else:
            log.message_damaged(file.hex(), str(error))
            self._note(number, file, str(error), None)

    def rest(self) -> None:
        """Nobody asks for anything: hold as little memory as can be."""
        self.index.rest()
        self.meta.db.release_memory()
        memory.trim()

    def close(self) -> None:
        """Note what is in place, close the databases."""
        with contextlib.suppress(Exception):
            self.entries.flush_placed()
        self.index.rest()
        self.meta.close()
