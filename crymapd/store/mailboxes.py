"""Mailboxes and subscriptions. Every method is one transaction on `meta.db`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from crymapd.errors import (
    MailboxExists,
    MailboxHasChildren,
    NoSuchMailbox,
    NotAllowedOnInbox,
    RenameIntoSelf,
)
from crymapd.model.names import DEFAULT_MAILBOXES, DELIMITER, INBOX, canonical_mailbox, parents
from crymapd.model.numbers import MailboxId, ModSeq, Uid
from crymapd.store.meta import Meta

_COLUMNS = (
    "id, name, object_id, selectable, special_use, uidvalidity, next_uid, recent_uid, modseq, pruned,"
    " messages, unseen, deleted, octets, recent"
)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A row of `mailboxes` as it stood when it was read.

    Attributes:
        name: the canonical name, levels separated by the delimiter.
        object_id: MAILBOXID (RFC 8474).
        selectable: False for a \\Noselect remnant, which is only there because it has children.
        special_use: such as `\\Sent` (RFC 6154).
        next_uid: the UID that the next message will get.
        recent_uid: no session has been told of messages from this UID on as \\Recent.
        modseq: the highest modseq.
        pruned: expunges up to this modseq are no longer remembered.
        messages, unseen, deleted, octets, recent: counters of the messages in it.
    """

    id: MailboxId
    name: str
    object_id: str
    selectable: bool
    special_use: str | None
    uidvalidity: int
    next_uid: Uid
    recent_uid: Uid
    modseq: ModSeq
    pruned: ModSeq
    messages: int
    unseen: int
    deleted: int
    octets: int
    recent: int


class Recent(NamedTuple):
    """The first UID that is \\Recent for a session, and how many messages are \\Recent."""

    first: Uid
    messages: int


class Mailboxes:
    """The tree of mailboxes, by their canonical names (`model.names.canonical_mailbox`)."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._db = meta.db

    def provide_defaults(self) -> None:
        """Create and subscribe the mailboxes of a new account, or only INBOX if an old account has lost it."""
        if self._find(INBOX):
            return  # as usual, so no transaction is needed
        with self._meta.change():
            # Asked only now, because another session may have been the first meanwhile.
            is_new = self._db.value("SELECT name FROM mailboxes LIMIT 1") is None
            if not self._find(INBOX):
                self._insert(INBOX, None)
                self._subscribe(INBOX)
            for name, use in DEFAULT_MAILBOXES.items() if is_new else ():
                self._insert(name, use)
                self._subscribe(name)

    def all(self) -> list[Mailbox]:
        """Return every mailbox, INBOX first, parents before children."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM mailboxes").fetchall()
        return sorted((_mailbox(row) for row in rows), key=lambda m: (m.name != INBOX, m.name.split(DELIMITER)))

    def get(self, name: str) -> Mailbox:
        """Return a mailbox. Raises NoSuchMailbox if there is none, or only a \\Noselect remnant."""
        mailbox = self._find(name)
        if mailbox is None or not mailbox.selectable:
            raise NoSuchMailbox(f"no mailbox {name}")
        return mailbox

    def has_children(self, name: str) -> bool:
        return bool(self._children(name))

    def by_id(self, mailbox: MailboxId) -> Mailbox | None:
        """Return a mailbox as it is now, whatever its name; None if it was deleted."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM mailboxes WHERE id = ? AND selectable", (mailbox,)).fetchone()
        return None if row is None else _mailbox(row)

    def create(self, name: str, special_use: str | None = None) -> Mailbox:
        """Create a mailbox and the levels above it; a \\Noselect remnant becomes selectable again.

        Raises:
            MailboxExists, NotAllowedOnInbox.
        """
        if name == INBOX:
            raise NotAllowedOnInbox("INBOX is always there")
        with self._meta.change():
            existing = self._find(name)
            if existing is not None and existing.selectable:
                raise MailboxExists(f"{name} exists")
            self._create_parents(name)
            if existing is None:
                self._insert(name, special_use)
            else:
                self._db.execute(
                    "UPDATE mailboxes SET selectable = 1, special_use = ?, uidvalidity = ? WHERE id = ?",
                    (special_use, self._meta.next_uidvalidity(), existing.id),
                )
            return self._must_find(name)

    def delete(self, name: str) -> None:
        """Delete a mailbox with its messages; if it has children, it stays as \\Noselect (RFC 9051 section 6.3.5).

        Raises:
            NoSuchMailbox, NotAllowedOnInbox, MailboxHasChildren.
        """
        if name == INBOX:
            raise NotAllowedOnInbox("INBOX cannot be deleted")
        with self._meta.change():
            mailbox = self._must_find(name)
            if not self._children(name):
                self._db.execute("DELETE FROM mailboxes WHERE id = ?", (mailbox.id,))
                self._prune_remnants(name)
                return
            if not mailbox.selectable:
                raise MailboxHasChildren(f"{name} has children")
            # The remnant is a new mailbox: sessions that have the old one selected must notice that it is gone.
            self._db.execute("DELETE FROM mailboxes WHERE id = ?", (mailbox.id,))
            self._insert(name, None, selectable=False)

    def rename(self, old: str, new: str) -> None:
        """Rename a mailbox and its children; renaming INBOX moves its mail to a new mailbox (RFC 9051 section 6.3.6).

        Raises:
            NoSuchMailbox, MailboxExists, NotAllowedOnInbox, RenameIntoSelf, BadMailboxName.
        """
        if new == INBOX:
            raise NotAllowedOnInbox("INBOX exists")
        if new.startswith(old + DELIMITER) and old != INBOX:
            raise RenameIntoSelf("a mailbox cannot become its own child")
        with self._meta.change():
            source = self._must_find(old)
            if self._find(new):
                raise MailboxExists(f"{new} exists")
            self._create_parents(new)
            if old == INBOX:
                self._empty_inbox_into(source, new)
                return
            self._db.execute("UPDATE mailboxes SET name = ? WHERE id = ?", (new, source.id))
            for child in self._children(old):
                canonical_mailbox(new + child[len(old) :])  # raises if the name has become too long or too deep
                self._db.execute("UPDATE mailboxes SET name = ? WHERE name = ?", (new + child[len(old) :], child))
            self._prune_remnants(old)

    def _empty_inbox_into(self, inbox: Mailbox, new: str) -> None:
        """Move all messages, with their UIDs, to a new mailbox; INBOX stays the same mailbox and becomes empty."""
        target = self._insert(new, None)
        self._db.execute(
            "UPDATE mailboxes SET modseq = 2,"
            " (next_uid, recent_uid, messages, unseen, deleted, octets, recent) ="
            " (SELECT next_uid, recent_uid, messages, unseen, deleted, octets, recent FROM mailboxes WHERE id = ?)"
            " WHERE id = ?",
            (inbox.id, target),
        )
        self._db.execute(
            "INSERT INTO expunges (mailbox, modseq, uid, message, flagset, saved)"
            " SELECT mailbox, ?, uid, message, flagset, saved FROM entries WHERE mailbox = ?",
            (inbox.modseq + 1, inbox.id),
        )
        self._db.execute(
            "UPDATE entries SET mailbox = ?, modseq = 2, saved = unixepoch() WHERE mailbox = ?", (target, inbox.id)
        )
        self._db.execute("UPDATE blocks SET mailbox = ? WHERE mailbox = ?", (target, inbox.id))
        self._db.execute("UPDATE mailbox_keywords SET mailbox = ? WHERE mailbox = ?", (target, inbox.id))
        self._db.execute(
            "UPDATE mailboxes SET modseq = ?, messages = 0, unseen = 0, deleted = 0, octets = 0, recent = 0"
            " WHERE id = ?",
            (inbox.modseq + 1, inbox.id),
        )

    def claim_recent(self, mailbox: MailboxId, below: Uid) -> Recent:
        """Claim the messages below a UID of which no session has been told, and return which they are.

        A session claims only what it counts, so a message that arrives meanwhile is left to the session that counts
        it first.  RFC 3501 section 2.3.2: only one read-write session is told of a message as recent.
        """
        if self._first_recent(mailbox, below) >= below:
            return Recent(below, 0)  # as usual, there is nothing to claim, so nothing is written
        with self._meta.change():
            first = self._first_recent(mailbox, below)
            claimed = int(
                self._db.value(
                    "SELECT count(*) FROM entries WHERE mailbox = ? AND uid >= ? AND uid < ?", mailbox, first, below
                )
            )
            self._db.execute(
                "UPDATE mailboxes SET recent_uid = max(recent_uid, ?), recent = recent - ? WHERE id = ?",
                (below, claimed, mailbox),
            )
            return Recent(first, claimed)

    def _first_recent(self, mailbox: MailboxId, otherwise: Uid) -> Uid:
        first: Uid | None = self._db.value("SELECT recent_uid FROM mailboxes WHERE id = ? AND selectable", mailbox)
        return otherwise if first is None else first

    def deleted_octets(self, mailbox: Mailbox) -> int:
        """Return how many octets the messages with \\Deleted have; it costs nothing if there are none."""
        if not mailbox.deleted:
            return 0
        return int(
            self._db.value(
                "SELECT total(m.size) FROM entries e JOIN messages m ON m.id = e.message WHERE e.mailbox = ?"
                " AND e.flagset IN (SELECT id FROM flagsets WHERE deleted)",
                mailbox.id,
            )
        )

    # Subscriptions: names only, to which there need not be a mailbox (RFC 9051 section 6.3.7)

    def subscribe(self, name: str) -> None:
        if self._db.value("SELECT 1 FROM subscriptions WHERE name = ?", name) is None:
            with self._meta.change():
                self._subscribe(name)

    def unsubscribe(self, name: str) -> None:
        if self._db.value("SELECT 1 FROM subscriptions WHERE name = ?", name) is not None:
            with self._meta.change():
                self._db.execute("DELETE FROM subscriptions WHERE name = ?", (name,))

    def subscriptions(self) -> list[str]:
        return [name for (name,) in self._db.execute("SELECT name FROM subscriptions ORDER BY name")]

    # Inside a transaction

    def _find(self, name: str) -> Mailbox | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM mailboxes WHERE name = ?", (name,)).fetchone()
        return None if row is None else _mailbox(row)

    def _must_find(self, name: str) -> Mailbox:
        mailbox = self._find(name)
        if mailbox is None:
            raise NoSuchMailbox(f"no mailbox {name}")
        return mailbox

    def _insert(self, name: str, special_use: str | None, *, selectable: bool = True) -> MailboxId:
        self._db.execute(
            "INSERT INTO mailboxes (name, object_id, selectable, special_use, uidvalidity) VALUES (?, ?, ?, ?, ?)",
            (name, "F" + secrets.token_hex(10), selectable, special_use, self._meta.next_uidvalidity()),
        )
        return MailboxId(self._db.last_id())

    def _create_parents(self, name: str) -> None:
        for parent in parents(name):
            if not self._find(parent):
                self._insert(parent, None)

    def _children(self, name: str) -> list[str]:
        prefix = name + DELIMITER
        rows: Iterable[tuple[str]] = self._db.execute(
            "SELECT name FROM mailboxes WHERE substr(name, 1, ?) = ?", (len(prefix), prefix)
        ).fetchall()
        return [child for (child,) in rows]

    def _prune_remnants(self, name: str) -> None:
        """Remove the \\Noselect remnants above a name that have no children any more."""
        for parent in reversed(parents(name)):
            remnant = self._find(parent)
            if remnant is None or remnant.selectable or self._children(parent):
                return
            self._db.execute("DELETE FROM mailboxes WHERE id = ?", (remnant.id,))

    def _subscribe(self, name: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO subscriptions VALUES (?)", (name,))


def _mailbox(row: tuple[object, ...]) -> Mailbox:
    return Mailbox(*row)  # type: ignore[arg-type]  # the columns in _COLUMNS are the fields, in order
