"""Changes to the messages in mailboxes. Every change is one transaction on `meta.db`, however many it concerns."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_
from typing import NamedTuple

from crymapd.errors import MailboxFull, MessageGone, NoSuchMailbox
from crymapd.model.flags import DELETED, SEEN, StoreMode
from crymapd.model.numbers import MAX_UID, FlagSetId, MailboxId, MessageId, ModSeq, Uid
from crymapd.model.sequence import Range, ranges_of
from crymapd.store.lookup import Lookup
from crymapd.store.meta import Meta
from crymapd.store.query_sets import uid_set
from crymapd.store.rows import Added, Copied, StoreResult, joined_entries

_REMEMBERED_EXPUNGES = 20_000


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A sealed file on stable storage that is about to get its row.

    Attributes:
        file: the 32 octets of its name.
        email_id: EMAILID, 16 octets.
        body_key: 32 octets.
        size: octets of the message.
        received: INTERNALDATE, seconds since 1970 UTC.
        zone: the time zone of INTERNALDATE, minutes east of UTC.
        flags: the flags of its entry.
        damaged: why the file could not be opened at filing; None if it could.
        references: Message-IDs, that of the message itself first; they decide to which thread it belongs.
        sealed: octets of the file.
    """

    file: bytes
    email_id: bytes
    body_key: bytes
    size: int
    received: int
    zone: int
    flags: frozenset[str]
    damaged: str | None = None
    references: tuple[bytes, ...] = ()
    sealed: int = 0


class _Allotted(NamedTuple):
    """The UIDs from `first` on and the modseq that new entries of a mailbox get."""

    uidvalidity: int
    first: Uid
    modseq: ModSeq


_MESSAGE_COLUMNS = ("file", "email_id", "body_key", "size", "received", "zone", "damaged", "sealed")


class Entries(Lookup):
    """The messages in the mailboxes and every change to them. What only reads is in `Lookup`."""

    def __init__(self, meta: Meta) -> None:
        super().__init__(meta)
        self._placed: list[MessageId] = []

    # Adding

    def append(
        self,
        mailbox: MailboxId,
        messages: Sequence[NewMessage],
        saved: int | None = None,
        replaced: tuple[MailboxId, Sequence[Range[Uid]]] | None = None,
    ) -> Added:
        """Add messages with consecutive UIDs and one modseq. A file that has a row already is left out.

        Args:
            mailbox: the mailbox to add them to.
            messages: the messages, in the order of their UIDs.
            saved: SAVEDATE of all of them, seconds since 1970 UTC; None means now.
            replaced: (mailbox, UIDs) of messages to expunge in the same transaction (RFC 8508).

        Returns:
            UIDVALIDITY and the new UIDs.

        Raises:
            NoSuchMailbox: the mailbox was deleted meanwhile.
            MailboxFull: there are no UIDs or keywords left.
            MessageGone: none of the messages to be replaced is there.
        """
        stamp = int(time.time()) if saved is None else saved
        with self._meta.change():
            new_messages = [message for message in messages if self.message_id(message.file) is None]
            allotted = self._allot(mailbox, len(new_messages))
            self._meta.history.note_step()
            for uid, message in enumerate(new_messages, allotted.first):
                self._insert(mailbox, Uid(uid), message, allotted.modseq, stamp)
            self._count(
                mailbox,
                messages=len(new_messages),
                unseen=sum(SEEN not in m.flags for m in new_messages),
                deleted=sum(DELETED in m.flags for m in new_messages),
                octets=sum(m.size for m in new_messages),
                recent=len(new_messages),
            )
            if replaced is not None:
                self._replace(*replaced)
            self._note_placed()
        self._placed.clear()
        return Added(allotted.uidvalidity, _consecutive(allotted.first, len(new_messages)))

    def _replace(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> None:
        uids = self._present(mailbox, ranges)
        if not uids:
            raise MessageGone("the message to be replaced is no longer there")
        self._expunge(mailbox, uids)

    def _insert(self, mailbox: MailboxId, uid: Uid, message: NewMessage, modseq: ModSeq, saved: int) -> None:
        columns = {name: getattr(message, name) for name in _MESSAGE_COLUMNS}
        columns["thread"] = self._meta.threads.join(message.references, message.email_id)
        self._db.execute(
            "INSERT INTO messages (file, email_id, body_key, size, received, zone, damaged, sealed, thread)"
            " VALUES (:file, :email_id, :body_key, :size, :received, :zone, :damaged, :sealed, :thread)",
            columns,
        )
        message_id = self._db.last_id()
        flagset = self._meta.flagsets.id_of(message.flags)
        row = (mailbox, uid, message_id, flagset, modseq, saved)
        self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)
        self._meta.flagsets.count_use(mailbox, {flagset: 1})

    def _allot(self, mailbox: MailboxId, count: int) -> _Allotted:
        """Take UIDs for so many new messages, and a modseq if there are any."""
        row = self._db.execute(
            "SELECT uidvalidity, next_uid, modseq FROM mailboxes WHERE id = ? AND selectable", (mailbox,)
        ).fetchone()
        if row is None:
            raise NoSuchMailbox("the mailbox was deleted")
        uidvalidity, first, modseq = row
        if first + count - 1 > MAX_UID:
            raise MailboxFull("the mailbox has used up its UIDs; move its mail to a new one")
        if count:
            modseq += 1
            self._db.execute(
                "UPDATE mailboxes SET next_uid = ?, modseq = ? WHERE id = ?", (first + count, modseq, mailbox)
            )
        return _Allotted(uidvalidity, first, modseq)

    def _count(
        self,
        mailbox: MailboxId,
        *,
        messages: int = 0,
        unseen: int = 0,
        deleted: int = 0,
        octets: int = 0,
        recent: int = 0,
    ) -> None:
        """Add to the mailbox's counters."""
        self._db.execute(
            "UPDATE mailboxes SET messages = messages + ?, unseen = unseen + ?, deleted = deleted + ?,"
            " octets = octets + ?, recent = recent + ? WHERE id = ?",
            (messages, unseen, deleted, octets, recent, mailbox),
        )

    def _next_modseq(self, mailbox: MailboxId) -> ModSeq:
        modseq: ModSeq | None = self._db.value(
            "UPDATE mailboxes SET modseq = modseq + 1 WHERE id = ? AND selectable RETURNING modseq", mailbox
        )
        if modseq is None:
            raise NoSuchMailbox("the mailbox was deleted")
        return modseq

    # Where the files are

    def unplaced(self) -> list[tuple[MessageId, bytes]]:
        """Return (id, file) of each message whose file may not have been placed."""
        rows: list[tuple[MessageId, bytes]] = self._db.execute(
            "SELECT id, file FROM messages WHERE placed = 0"
        ).fetchall()
        return rows

    def placed(self, messages: Iterable[MessageId]) -> None:
        """Let the next transaction note that the files of these messages are placed.

        If that note is lost, the next login only has to look for the files once more.
        """
        self._placed.extend(messages)

    def flush_placed(self) -> None:
        """Note now that the files given to `placed` are placed."""
        if self._placed:
            with self._meta.change():
                self._note_placed()
            self._placed.clear()

    def _note_placed(self) -> None:
        self._db.executemany("UPDATE messages SET placed = 1 WHERE id = ?", ((message,) for message in self._placed))

    def message_id(self, file: bytes) -> MessageId | None:
        """Return the id of the message whose sealed file has this name; None if the file has no row."""
        message: MessageId | None = self._db.value("SELECT id FROM messages WHERE file = ?", file)
        return message

    def set_condition(self, message: MessageId, size: int, damaged: str | None) -> None:
        """Note that a file is damaged, so that a note of `size` octets stands in its place, or that it is whole again.

        Args:
            message: the message.
            size: octets of what is served from now on.
            damaged: why the file cannot be read; None if it can.
        """
        with self._meta.change():
            size_before: int | None = self._db.value("SELECT size FROM messages WHERE id = ?", message)
            if size_before is None:
                return
            self._db.execute("UPDATE messages SET size = ?, damaged = ? WHERE id = ?", (size, damaged, message))
            self._db.execute(
                "UPDATE mailboxes SET octets = octets + ? * (SELECT count(*) FROM entries WHERE mailbox = mailboxes.id"
                " AND message = ?) WHERE id IN (SELECT mailbox FROM entries WHERE message = ?)",
                (size - size_before, message, message),
            )

    # Flags

    def store(
        self,
        mailbox: MailboxId,
        ranges: Sequence[Range[Uid]],
        mode: StoreMode,
        flags: frozenset[str],
        unchanged_since: int | None = None,
    ) -> StoreResult:
        """Add, remove or replace flags (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3).

        A message whose modseq is above `unchanged_since` is left alone and reported as modified.
        If nothing changes, no modseq is used.
        """
        with self._meta.change():
            addressed = joined_entries(self.entry_pages(mailbox, ranges))
            modified: Sequence[Uid] = ()
            if unchanged_since is not None:
                may_change = [modseq <= unchanged_since for modseq in addressed.modseqs]
                modified = list(compress(addressed.uids, map(not_, may_change)))
                addressed = addressed.chosen(may_change)
            groups: dict[FlagSetId, list[Uid]] = {}
            for uid, flagset in zip(addressed.uids, addressed.flagsets, strict=True):
                groups.setdefault(flagset, []).append(uid)
            after = {flagset: self._combine(flagset, mode, flags) for flagset in groups}
            modseq = self._apply(mailbox, groups, after)
        return StoreResult(addressed, list(map(after.__getitem__, addressed.flagsets)), modified, modseq)

    def _combine(self, flagset: FlagSetId, mode: StoreMode, flags: frozenset[str]) -> FlagSetId:
        """Apply STORE to one flag set and return the resulting one."""
        before = frozenset(self._meta.flagsets.flags_of(flagset).split())
        lowered = {flag.lower() for flag in flags}
        kept = frozenset(flag for flag in before if flag.lower() not in lowered)
        after = {StoreMode.REPLACE: flags, StoreMode.ADD: kept | flags, StoreMode.REMOVE: kept}[mode]
        return self._meta.flagsets.id_of(after)

    def _apply(
        self, mailbox: MailboxId, groups: dict[FlagSetId, list[Uid]], after: dict[FlagSetId, FlagSetId]
    ) -> ModSeq:
        """Give entries their new flag sets and return the modseq of that change, 0 if nothing changes.

        `groups` has the UIDs of each flag set, and `after` the flag set that takes its place.
        """
        moves = {flagset: uids for flagset, uids in groups.items() if after[flagset] != flagset}
        if not moves:
            return ModSeq(0)
        modseq = self._next_modseq(mailbox)
        changes: Counter[FlagSetId] = Counter()
        for flagset, uids in moves.items():
            changes[flagset] -= len(uids)
            changes[after[flagset]] += len(uids)
        self._meta.flagsets.count_use(mailbox, changes)
        # A row that has changed has the new modseq, which keeps a later group from changing it again.
        for flagset, uids in moves.items():
            self._db.executemany(
                "UPDATE entries SET flagset = ?, modseq = ? WHERE mailbox = ? AND uid BETWEEN ? AND ?"
                " AND flagset = ? AND modseq < ?",
                ((after[flagset], modseq, mailbox, low, high, flagset, modseq) for low, high in (ranges_of(uids))),
            )
            old_flags, new_flags = (self._meta.flagsets.flags_of(each).split() for each in (flagset, after[flagset]))
            self._count(
                mailbox,
                unseen=len(uids) * ((SEEN not in new_flags) - (SEEN not in old_flags)),
                deleted=len(uids) * ((DELETED in new_flags) - (DELETED in old_flags)),
            )
        return modseq

    # Copying and removing

    def copy(self, source: MailboxId, ranges: Sequence[Range[Uid]], target: MailboxId) -> Copied:
        """COPY: add the messages of these ranges to another mailbox.

        Raises:
            NoSuchMailbox, MailboxFull.
        """
        with self._meta.change():
            return self._copy(source, self._present(source, ranges), target)

    def move(self, source: MailboxId, ranges: Sequence[Range[Uid]], target: MailboxId) -> Copied:
        """MOVE (RFC 6851): copy and expunge messages in one transaction. Raises as `copy` does."""
        with self._meta.change():
            uids = self._present(source, ranges)
            copied = self._copy(source, uids, target)
            self._expunge(source, uids)
            return copied

    def expunge(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]], *, only_deleted: bool = True) -> list[Uid]:
        """Expunge messages and return their UIDs; `only_deleted` spares those that do not have \\Deleted now."""
        if only_deleted and not self._db.value("SELECT deleted FROM mailboxes WHERE id = ?", mailbox):
            return []  # as usual, there is nothing to do, so no transaction is needed
        wanted = uid_set(mailbox, ranges)
        condition = "AND e.flagset IN (SELECT id FROM flagsets WHERE deleted)" if only_deleted else ""
        query = f"SELECT e.uid FROM {wanted.tables} WHERE {wanted.where} {condition} ORDER BY e.uid"
        with self._meta.change():
            uids: list[Uid] = [uid for (uid,) in self._db.execute(query, wanted.values)]
            self._expunge(mailbox, uids)
            return uids

    def _present(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> list[Uid]:
        return [entry.uid for entry in self.entries(mailbox, ranges)]

    def _copy(self, source: MailboxId, uids: list[Uid], target: MailboxId) -> Copied:
        uidvalidity, first, modseq = self._allot(target, len(uids))
        copied = uid_set(source, ranges_of(uids))
        self._db.execute(
            "INSERT INTO entries (mailbox, uid, message, flagset, modseq, saved)"
            " SELECT ?, ? - 1 + row_number() OVER (ORDER BY e.uid), e.message, e.flagset, ?, ?"
            f" FROM {copied.tables} WHERE {copied.where}",
            (target, first, modseq, int(time.time()), *copied.values),
        )
        added = (first, Uid(first + len(uids) - 1))
        self._recount(target, [added], +1)
        if self._meta.flagsets.has_keywords(source):
            self._meta.flagsets.count_entries(target, uid_set(target, [added]), +1)
        return Copied(uidvalidity, uids, _consecutive(first, len(uids)))

    def _expunge(self, mailbox: MailboxId, uids: list[Uid]) -> None:
        if not uids:
            return
        modseq, ranges = self._next_modseq(mailbox), ranges_of(uids)
        self._recount(mailbox, ranges, -1)
        expunged = uid_set(mailbox, ranges)
        if self._meta.flagsets.has_keywords(mailbox):
            self._meta.flagsets.count_entries(mailbox, expunged, -1)
        self._db.execute(
            "INSERT INTO expunges (mailbox, modseq, uid, message, flagset, saved)"
            f" SELECT e.mailbox, ?, e.uid, e.message, e.flagset, e.saved FROM {expunged.tables} WHERE {expunged.where}",
            (modseq, *expunged.values),
        )
        self._db.execute(
            "DELETE FROM entries WHERE mailbox = ?"
            f" AND uid IN (SELECT e.uid FROM {expunged.tables} WHERE {expunged.where})",
            (mailbox, *expunged.values),
        )

    def _recount(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]], sign: int) -> None:
        """Add messages to the mailbox's counters, or take them off if `sign` is -1."""
        counted = uid_set(mailbox, ranges)
        row = self._db.execute(
            "SELECT count(*), total(NOT f.seen), total(f.deleted), total(m.size), total(e.uid >= b.recent_uid)"
            f" FROM {counted.tables} JOIN flagsets f ON f.id = e.flagset JOIN messages m ON m.id = e.message"
            f" JOIN mailboxes b ON b.id = e.mailbox WHERE {counted.where}",
            counted.values,
        ).fetchone()
        messages, unseen, deleted, octets, recent = (sign * int(count) for count in row)
        self._count(mailbox, messages=messages, unseen=unseen, deleted=deleted, octets=octets, recent=recent)

    # For maintenance

    def prune_expunges(self) -> None:
        """Forget the oldest expunges of mailboxes that remember too many, as RFC 7162 section 5 allows."""
        with self._meta.change():
            rows = self._db.execute("SELECT mailbox, count(*) FROM expunges GROUP BY mailbox").fetchall()
            for mailbox, count in rows:
                if count <= _REMEMBERED_EXPUNGES:
                    continue
                floor = self._db.value(
                    "SELECT modseq FROM expunges WHERE mailbox = ? ORDER BY modseq DESC LIMIT 1 OFFSET ?",
                    mailbox,
                    _REMEMBERED_EXPUNGES,
                )
                self._db.execute("DELETE FROM expunges WHERE mailbox = ? AND modseq <= ?", (mailbox, floor))
                self._db.execute("UPDATE mailboxes SET pruned = ? WHERE id = ?", (floor, mailbox))

    def released_before(self, moment: int) -> list[tuple[MessageId, bytes]]:
        """Return (id, file) of each message that left its last mailbox before `moment`, seconds since 1970 UTC."""
        query = "SELECT id, file FROM messages WHERE released < ?"
        rows: list[tuple[MessageId, bytes]] = self._db.execute(query, (moment,)).fetchall()
        return rows

    def forget(self, messages: Iterable[MessageId]) -> list[MessageId]:
        """Remove the rows of those messages that are in no mailbox, and threads that have become empty.

        Returns:
            The ids of the messages that were removed.
        """
        query = "DELETE FROM messages WHERE id = ? AND copies = 0 RETURNING id"
        with self._meta.change():
            removed = [message for message in messages if self._db.value(query, message) is not None]
            if removed:
                self._meta.threads.forget_empty()
            return removed

    def files(self) -> Iterator[bytes]:
        """Yield the name of every sealed file that has a row, 32 octets each."""
        for (file,) in self._db.execute("SELECT file FROM messages"):
            yield bytes(file)


def _consecutive(first: Uid, count: int) -> list[Uid]:
    return [Uid(uid) for uid in range(first, first + count)]
