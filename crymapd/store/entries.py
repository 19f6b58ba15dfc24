"""Changes to messages in mailboxes: every method is one transaction on `meta.db`, however many messages it changes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from crymapd.errors import MailboxFull, MessageGone, NoSuchMailbox
from crymapd.model.changes import Entry
from crymapd.model.flags import DELETED, SEEN, StoreMode
from crymapd.model.numbers import MAX_UID, FlagSetId, MailboxId, MessageId, ModSeq, Uid
from crymapd.model.sequence import Range, ranges_of
from crymapd.store.lookup import Lookup
from crymapd.store.meta import Meta
from crymapd.store.rows import Added, Copied, StoreResult

_REMEMBERED_EXPUNGES = 20_000


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A sealed file on stable storage that is about to get its row.

    Attributes:
        file: the 32 octets of its name.
        damaged: why it could not be opened at filing; None where it could.
        references: Message-IDs, its own first; they make conversations.
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


class _Reserved(NamedTuple):
    uidvalidity: int
    first: Uid
    modseq: ModSeq


_MESSAGE_COLUMNS = ("file", "email_id", "body_key", "size", "received", "zone", "damaged", "sealed")


class Entries(Lookup):
    """What is in the mailboxes, and every change to it; the questions are in `lookup`."""

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
        """Add messages with consecutive UIDs and one modseq; a file that has a row already is left out.

        Args:
            mailbox: where to.
            messages: what.
            saved: the time to remember as SAVEDATE; now, if None.
            replaced: (mailbox, UIDs) of messages that go away in the same step (RFC 8508).

        Returns:
            UIDVALIDITY and the new UIDs.

        Raises:
            NoSuchMailbox: it vanished meanwhile.
            MailboxFull: UIDs or keywords are used up.
            MessageGone: what was to be replaced is not there.
        """
        stamp = int(time.time()) if saved is None else saved
        with self._meta.change():
            fresh = [message for message in messages if self.message_id(message.file) is None]
            reserved = self._reserve(mailbox, len(fresh))
            self._meta.history.note_step()
            for uid, message in enumerate(fresh, reserved.first):
                self._insert(mailbox, Uid(uid), message, reserved.modseq, stamp)
            self._count(
                mailbox,
                messages=len(fresh),
                unseen=sum(SEEN not in m.flags for m in fresh),
                deleted=sum(DELETED in m.flags for m in fresh),
                octets=sum(m.size for m in fresh),
                recent=len(fresh),
            )
            if replaced is not None:
                self._replace(*replaced)
            self._note_placed()
        self._placed.clear()
        return Added(reserved.uidvalidity, _consecutive(reserved.first, len(fresh)))

    def _replace(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> None:
        uids = self._present(mailbox, ranges)
        if not uids:
            raise MessageGone("the message to be replaced is no longer there")
        self._expunge(mailbox, uids)

    def _insert(self, mailbox: MailboxId, uid: Uid, message: NewMessage, modseq: ModSeq, saved: int) -> None:
        self._db.execute(
            "INSERT INTO messages (file, email_id, body_key, size, received, zone, damaged, sealed, thread)"
            " VALUES (:file, :email_id, :body_key, :size, :received, :zone, :damaged, :sealed, :thread)",
            {name: getattr(message, name) for name in _MESSAGE_COLUMNS} | {"thread": self._thread(message)},
        )
        message_id = self._db.last_id()
        row = (mailbox, uid, message_id, self._meta.flagsets.id_of(message.flags), modseq, saved)
        self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)

    def _thread(self, message: NewMessage) -> bytes:
        """The conversation that one of its references belongs to already, else a new one (RFC 8474 section 5.2)."""
        keys = [hashlib.sha256(reference).digest()[:16] for reference in message.references]
        known = (self._db.value("SELECT thread FROM threads WHERE reference = ?", key) for key in keys)
        thread = next((bytes(thread) for thread in known if thread is not None), message.email_id)
        self._db.executemany("INSERT OR IGNORE INTO threads VALUES (?, ?)", [(key, thread) for key in keys])
        return thread

    def _reserve(self, mailbox: MailboxId, count: int) -> _Reserved:
        """Take UIDs and, where they are any, a modseq for new messages."""
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
        return _Reserved(uidvalidity, first, modseq)

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
        """(id, file) of messages whose file may not have reached its final place."""
        rows: list[tuple[MessageId, bytes]] = self._db.execute(
            "SELECT id, file FROM messages WHERE placed = 0"
        ).fetchall()
        return rows

    def placed(self, messages: Iterable[MessageId]) -> None:
        """Remember with the next write that these files are in place; losing this costs only a look."""
        self._placed.extend(messages)

    def flush_placed(self) -> None:
        """Write now what `placed` was told."""
        if self._placed:
            with self._meta.change():
                self._note_placed()
            self._placed.clear()

    def _note_placed(self) -> None:
        self._db.executemany("UPDATE messages SET placed = 1 WHERE id = ?", ((message,) for message in self._placed))

    def message_id(self, file: bytes) -> MessageId | None:
        """The message whose sealed file has this name; None where it has no row."""
        message: MessageId | None = self._db.value("SELECT id FROM messages WHERE file = ?", file)
        return message

    def set_condition(self, message: MessageId, size: int, damaged: str | None) -> None:
        """A file was found damaged (and a note of `size` octets stands in for it), or whole again."""
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
        Where nothing changes, no modseq is used and nothing is written.
        """
        result = StoreResult()
        with self._meta.change():
            groups: dict[FlagSetId, list[Uid]] = {}
            for uid, flagset, modseq in self.entries(mailbox, ranges):
                if unchanged_since is not None and modseq > unchanged_since:
                    result.modified.append(uid)
                else:
                    groups.setdefault(flagset, []).append(uid)
                    result.before[uid] = modseq
            after = {flagset: self._combine(flagset, mode, flags) for flagset in groups}
            result.modseq = self._apply(mailbox, groups, after)
            for flagset, uids in groups.items():
                now = after[flagset]
                if now == flagset:
                    result.entries += [Entry(uid, now, result.before[uid]) for uid in uids]
                else:
                    result.entries += [Entry(uid, now, result.modseq) for uid in uids]
                    result.changed.update(uids)
        result.entries.sort()
        return result

    def _combine(self, flagset: FlagSetId, mode: StoreMode, flags: frozenset[str]) -> FlagSetId:
        """The flag set that STORE makes of another one."""
        before = frozenset(self._meta.flagsets.flags_of(flagset).split())
        lowered = {flag.lower() for flag in flags}
        kept = frozenset(flag for flag in before if flag.lower() not in lowered)
        after = {StoreMode.REPLACE: flags, StoreMode.ADD: kept | flags, StoreMode.REMOVE: kept}[mode]
        return self._meta.flagsets.id_of(after)

    def _apply(
        self, mailbox: MailboxId, groups: dict[FlagSetId, list[Uid]], after: dict[FlagSetId, FlagSetId]
    ) -> ModSeq:
        """Write the flag sets that change; the modseq of that, 0 where none does."""
        moves = {flagset: uids for flagset, uids in groups.items() if after[flagset] != flagset}
        if not moves:
            return ModSeq(0)
        modseq = self._next_modseq(mailbox)
        # All targets are numbered before any row changes, so that no row is changed twice.
        for flagset, uids in moves.items():
            self._db.executemany(
                "UPDATE entries SET flagset = ?, modseq = ? WHERE mailbox = ? AND uid BETWEEN ? AND ?"
                " AND flagset = ? AND modseq < ?",
                ((after[flagset], modseq, mailbox, low, high, flagset, modseq) for low, high in (ranges_of(uids))),
            )
            before, now = (self._meta.flagsets.flags_of(one).split() for one in (flagset, after[flagset]))
            self._count(
                mailbox,
                unseen=len(uids) * ((SEEN not in now) - (SEEN not in before)),
                deleted=len(uids) * ((DELETED in now) - (DELETED in before)),
            )
        return modseq

    # Copying and removing

    def copy(self, source: MailboxId, ranges: Sequence[Range[Uid]], target: MailboxId) -> Copied:
        """COPY: all messages in one step."""
        with self._meta.change():
            return self._copy(source, self._present(source, ranges), target)

    def move(self, source: MailboxId, ranges: Sequence[Range[Uid]], target: MailboxId) -> Copied:
        """MOVE (RFC 6851): copy and expunge in one step."""
        with self._meta.change():
            uids = self._present(source, ranges)
            copied = self._copy(source, uids, target)
            self._expunge(source, uids)
            return copied

    def expunge(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]], *, only_deleted: bool = True) -> list[Uid]:
        """Remove messages (those with \\Deleted as it stands now, unless told otherwise); their UIDs."""
        if only_deleted and not self._db.value("SELECT deleted FROM mailboxes WHERE id = ?", mailbox):
            return []  # most often: nothing is written
        condition = "AND flagset IN (SELECT id FROM flagsets WHERE deleted)" if only_deleted else ""
        query = f"SELECT uid FROM entries WHERE mailbox = ? AND uid BETWEEN ? AND ? {condition} ORDER BY uid"
        with self._meta.change():
            uids: list[Uid] = [uid for low, high in ranges for (uid,) in self._db.execute(query, (mailbox, low, high))]
            self._expunge(mailbox, uids)
            return uids

    def _present(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> list[Uid]:
        return [entry.uid for entry in self.entries(mailbox, ranges)]

    def _copy(self, source: MailboxId, uids: list[Uid], target: MailboxId) -> Copied:
        uidvalidity, first, modseq = self._reserve(target, len(uids))
        now, next_uid = int(time.time()), first
        for low, high in ranges_of(uids):
            self._db.execute(
                "INSERT INTO entries (mailbox, uid, message, flagset, modseq, saved)"
                " SELECT ?, ? - 1 + row_number() OVER (ORDER BY uid), message, flagset, ?, ?"
                " FROM entries WHERE mailbox = ? AND uid BETWEEN ? AND ? AND uid < ?",
                (target, next_uid, modseq, now, source, low, high, first if source == target else MAX_UID + 1),
            )
            next_uid = Uid(next_uid + high - low + 1)
        self._recount(target, first, Uid(next_uid - 1), +1)
        return Copied(uidvalidity, uids, _consecutive(first, len(uids)))

    def _expunge(self, mailbox: MailboxId, uids: list[Uid]) -> None:
        if not uids:
            return
        modseq = self._next_modseq(mailbox)
        for low, high in ranges_of(uids):
            self._recount(mailbox, low, high, -1)
            self._db.execute(
                "INSERT INTO expunges (mailbox, modseq, uid, message, flagset, saved)"
                " SELECT mailbox, ?, uid, message, flagset, saved FROM entries"
                " WHERE mailbox = ? AND uid BETWEEN ? AND ?",
                (modseq, mailbox, low, high),
            )
            self._db.execute("DELETE FROM entries WHERE mailbox = ? AND uid BETWEEN ? AND ?", (mailbox, low, high))

    def _recount(self, mailbox: MailboxId, low: Uid, high: Uid, sign: int) -> None:
        """Add (or take off) the messages of a UID range to the mailbox's counters."""
        row = self._db.execute(
            "SELECT count(*), total(NOT f.seen), total(f.deleted), total(m.size), total(e.uid >= b.recent_uid)"
            " FROM entries e JOIN flagsets f ON f.id = e.flagset JOIN messages m ON m.id = e.message"
            " JOIN mailboxes b ON b.id = e.mailbox WHERE e.mailbox = ? AND e.uid BETWEEN ? AND ?",
            (mailbox, low, high),
        ).fetchone()
        messages, unseen, deleted, octets, recent = (sign * int(count) for count in row)
        self._count(mailbox, messages=messages, unseen=unseen, deleted=deleted, octets=octets, recent=recent)

    # For maintenance

    def prune_expunges(self) -> None:
        """Forget the oldest expunges of mailboxes that remember very many (RFC 7162 section 5 allows it)."""
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
        """(id, file) of messages in no mailbox since before `moment`, seconds since 1970 UTC."""
        query = "SELECT id, file FROM messages WHERE released < ?"
        rows: list[tuple[MessageId, bytes]] = self._db.execute(query, (moment,)).fetchall()
        return rows

    def forget(self, messages: Iterable[MessageId]) -> list[MessageId]:
        """Remove the rows of messages that are still in no mailbox, and conversations without messages; those ids."""
        query = "DELETE FROM messages WHERE id = ? AND copies = 0 RETURNING id"
        with self._meta.change():
            gone = [message for message in messages if self._db.value(query, message) is not None]
            if gone:
                self._db.execute(
                    "DELETE FROM threads WHERE thread NOT IN (SELECT thread FROM messages WHERE thread IS NOT NULL)"
                )
            return gone

    def files(self) -> Iterator[bytes]:
        """Every file that a row refers to."""
        for (file,) in self._db.execute("SELECT file FROM messages"):
            yield bytes(file)


def _consecutive(first: Uid, count: int) -> list[Uid]:
    return [Uid(uid) for uid in range(first, first + count)]
