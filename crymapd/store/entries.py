"""Messages in mailboxes: every method is one transaction on `meta.db`, whatever the number of messages."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from crymapd.errors import MailboxFull, MessageGone, NoSuchMailbox
from crymapd.model.flags import DELETED, SEEN, StoreMode
from crymapd.model.numbers import MAX_UID, Uid
from crymapd.model.sequence import Range, ranges_of
from crymapd.store.lookup import Entry, Lookup
from crymapd.store.meta import Meta

MAX_KEYWORDS = 10_000
_REMEMBERED_EXPUNGES = 20_000


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A sealed file on stable storage, about to get its row.

    Attributes:
        file: 32 octets, its name.
        damaged: why it cannot be read, when it could not be opened at filing.
        references: Message-IDs, its own first: what makes conversations.
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


@dataclass(slots=True)
class StoreResult:
    """What STORE did.

    Attributes:
        flags: every addressed message that was not refused, changed or not.
        changed: the UIDs of those that changed, under `modseq` (0 when none did).
        modified: those refused because of UNCHANGEDSINCE.
        before: the modseq that each message had, for those not refused.
    """

    flags: list[Entry] = field(default_factory=list)
    changed: set[int] = field(default_factory=set)
    modified: list[Uid] = field(default_factory=list)
    modseq: int = 0
    before: dict[int, int] = field(default_factory=dict)


_MESSAGE_COLUMNS = ("file", "email_id", "body_key", "size", "received", "zone", "damaged", "sealed")


class Entries(Lookup):
    """What is in the mailboxes, and every change to it; what only asks is in `lookup`."""

    def __init__(self, meta: Meta) -> None:
        super().__init__(meta)
        self._placed: list[int] = []

    # Adding

    def append(
        self,
        mailbox: int,
        messages: Sequence[NewMessage],
        saved: int | None = None,
        replaced: tuple[int, Sequence[Range]] | None = None,
    ) -> tuple[int, list[int]]:
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
            known = {
                bytes(row[0])
                for message in messages
                for row in self._db.execute("SELECT file FROM messages WHERE file = ?", (message.file,))
            }
            fresh = [message for message in messages if message.file not in known]
            uidvalidity, first, modseq = self._reserve(mailbox, len(fresh))
            self._meta.note_step()
            for uid, message in enumerate(fresh, first):
                self._insert(mailbox, uid, message, modseq, stamp)
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
        return uidvalidity, list(range(first, first + len(fresh)))

    def _replace(self, mailbox: int, ranges: Sequence[Range]) -> None:
        uids = self._present(mailbox, ranges)
        if not uids:
            raise MessageGone("the message to be replaced is no longer there")
        self._expunge(mailbox, uids)

    def _insert(self, mailbox: int, uid: int, message: NewMessage, modseq: int, saved: int) -> None:
        self._db.execute(
            "INSERT INTO messages (file, email_id, body_key, size, received, zone, damaged, sealed, thread)"
            " VALUES (:file, :email_id, :body_key, :size, :received, :zone, :damaged, :sealed, :thread)",
            {name: getattr(message, name) for name in _MESSAGE_COLUMNS} | {"thread": self._thread(message)},
        )
        number = self._db.last_id()
        flagset = self._flagset(message.flags)
        row = (mailbox, uid, number, flagset, modseq, saved)
        self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)

    def _thread(self, message: NewMessage) -> bytes:
        """The conversation that one of its references belongs to already, else a new one (RFC 8474 section 5.2)."""
        keys = [hashlib.sha256(reference).digest()[:16] for reference in message.references]
        found = (self._db.value("SELECT thread FROM threads WHERE reference = ?", key) for key in keys)
        thread = next((bytes(known) for known in found if known is not None), message.email_id)
        self._db.executemany("INSERT OR IGNORE INTO threads VALUES (?, ?)", [(key, thread) for key in keys])
        return thread

    def _flagset(self, flags: frozenset[str]) -> int:
        number = self._meta.flagset(flags)
        if self._meta.keyword_count() > MAX_KEYWORDS:
            raise MailboxFull(f"more than {MAX_KEYWORDS} keywords in the account")
        return number

    def _reserve(self, mailbox: int, count: int) -> tuple[int, int, int]:
        """(uidvalidity, first uid, modseq) for `count` new messages."""
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
        return uidvalidity, first, modseq

    def _count(
        self, mailbox: int, *, messages: int = 0, unseen: int = 0, deleted: int = 0, octets: int = 0, recent: int = 0
    ) -> None:
        self._db.execute(
            "UPDATE mailboxes SET messages = messages + ?, unseen = unseen + ?, deleted = deleted + ?,"
            " octets = octets + ?, recent = recent + ? WHERE id = ?",
            (messages, unseen, deleted, octets, recent, mailbox),
        )

    def _next_modseq(self, mailbox: int) -> int:
        found = self._db.value(
            "UPDATE mailboxes SET modseq = modseq + 1 WHERE id = ? AND selectable RETURNING modseq", mailbox
        )
        if found is None:
            raise NoSuchMailbox("the mailbox was deleted")
        return int(found)

    def renumber(self) -> None:
        """A new UIDVALIDITY for every mailbox."""
        self._meta.renumber()

    # Where the files are

    def unplaced(self) -> list[tuple[int, bytes]]:
        """(id, file) of messages whose file may not have reached its final place."""
        found: list[tuple[int, bytes]] = self._db.execute("SELECT id, file FROM messages WHERE placed = 0").fetchall()
        return found

    def placed(self, numbers: Iterable[int]) -> None:
        """Remember with the next write that these files are in place; losing this costs only a look."""
        self._placed.extend(numbers)

    def flush_placed(self) -> None:
        if self._placed:
            with self._meta.change():
                self._note_placed()
            self._placed.clear()

    def _note_placed(self) -> None:
        self._db.executemany("UPDATE messages SET placed = 1 WHERE id = ?", ((number,) for number in self._placed))

    def message_id(self, file: bytes) -> int | None:
        found: int | None = self._db.value("SELECT id FROM messages WHERE file = ?", file)
        return found

    def set_condition(self, message: int, size: int, damaged: str | None) -> None:
        """A file was found damaged (and a note of `size` octets stands in for it), or whole again."""
        with self._meta.change():
            row = self._db.execute("SELECT size FROM messages WHERE id = ?", (message,)).fetchone()
            if row is None:
                return
            self._db.execute("UPDATE messages SET size = ?, damaged = ? WHERE id = ?", (size, damaged, message))
            self._db.execute(
                "UPDATE mailboxes SET octets = octets + ? * (SELECT count(*) FROM entries WHERE mailbox = mailboxes.id"
                " AND message = ?) WHERE id IN (SELECT mailbox FROM entries WHERE message = ?)",
                (size - row[0], message, message),
            )

    # Flags

    def store(
        self,
        mailbox: int,
        ranges: Sequence[Range],
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
            groups: dict[int, list[int]] = {}
            modseqs = result.before
            for uid, flagset, modseq in self.flags(mailbox, ranges):
                if unchanged_since is not None and modseq > unchanged_since:
                    result.modified.append(Uid(uid))
                else:
                    groups.setdefault(flagset, []).append(uid)
                    modseqs[uid] = modseq
            after = {flagset: self._combine(flagset, mode, flags) for flagset in groups}
            result.modseq = self._apply(mailbox, groups, after)
            for flagset, uids in groups.items():
                moved = after[flagset] != flagset
                if moved:
                    result.changed.update(uids)
                now = after[flagset]
                result.flags += [(uid, now, result.modseq if moved else modseqs[uid]) for uid in uids]
        result.flags.sort()
        return result

    def _combine(self, flagset: int, mode: StoreMode, flags: frozenset[str]) -> int:
        old = frozenset(self._meta.flags_of(flagset).split())
        lowered = {flag.lower() for flag in flags}
        kept = frozenset(flag for flag in old if flag.lower() not in lowered)
        new = {StoreMode.REPLACE: flags, StoreMode.ADD: kept | flags, StoreMode.REMOVE: kept}[mode]
        return self._flagset(new)

    def _apply(self, mailbox: int, groups: dict[int, list[int]], after: dict[int, int]) -> int:
        moves = {flagset: uids for flagset, uids in groups.items() if after[flagset] != flagset}
        if not moves:
            return 0
        modseq = self._next_modseq(mailbox)
        # All targets are numbered before any row changes, so that no row is changed twice.
        for flagset, uids in moves.items():
            self._db.executemany(
                "UPDATE entries SET flagset = ?, modseq = ? WHERE mailbox = ? AND uid BETWEEN ? AND ?"
                " AND flagset = ? AND modseq < ?",
                ((after[flagset], modseq, mailbox, low, high, flagset, modseq) for low, high in (ranges_of(uids))),
            )
            before, now = self._meta.flags_of(flagset).split(), self._meta.flags_of(after[flagset]).split()
            self._count(
                mailbox,
                unseen=len(uids) * ((SEEN not in now) - (SEEN not in before)),
                deleted=len(uids) * ((DELETED in now) - (DELETED in before)),
            )
        return modseq

    # Copying and removing

    def copy(self, source: int, ranges: Sequence[Range], target: int) -> tuple[int, list[int], list[int]]:
        """COPY: (uidvalidity of the target, source UIDs, new UIDs), in one step."""
        with self._meta.change():
            return self._copy(source, self._present(source, ranges), target)

    def move(self, source: int, ranges: Sequence[Range], target: int) -> tuple[int, list[int], list[int]]:
        """MOVE (RFC 6851): copy and expunge in one step."""
        with self._meta.change():
            uids = self._present(source, ranges)
            done = self._copy(source, uids, target)
            self._expunge(source, uids)
            return done

    def expunge(self, mailbox: int, ranges: Sequence[Range], *, only_deleted: bool = True) -> list[int]:
        """Remove messages (those with \\Deleted as it stands now, unless told otherwise); their UIDs."""
        if only_deleted and not self._db.value("SELECT deleted FROM mailboxes WHERE id = ?", mailbox):
            return []  # most often: nothing is written
        with self._meta.change():
            condition = "AND flagset IN (SELECT id FROM flagsets WHERE deleted)" if only_deleted else ""
            uids = [
                row[0]
                for low, high in ranges
                for row in self._db.execute(
                    f"SELECT uid FROM entries WHERE mailbox = ? AND uid BETWEEN ? AND ? {condition} ORDER BY uid",
                    (mailbox, low, high),
                )
            ]
            self._expunge(mailbox, uids)
            return uids

    def _present(self, mailbox: int, ranges: Sequence[Range]) -> list[int]:
        return [uid for uid, _flagset, _modseq in self.flags(mailbox, ranges)]

    def _copy(self, source: int, uids: list[int], target: int) -> tuple[int, list[int], list[int]]:
        uidvalidity, first, modseq = self._reserve(target, len(uids))
        now, next_uid = int(time.time()), first
        for low, high in ranges_of(uids):
            self._db.execute(
                "INSERT INTO entries (mailbox, uid, message, flagset, modseq, saved)"
                " SELECT ?, ? - 1 + row_number() OVER (ORDER BY uid), message, flagset, ?, ?"
                " FROM entries WHERE mailbox = ? AND uid BETWEEN ? AND ? AND uid < ?",
                (target, next_uid, modseq, now, source, low, high, first if source == target else MAX_UID + 1),
            )
            next_uid += high - low + 1
        self._recount(target, first, next_uid - 1, +1)
        return uidvalidity, uids, list(range(first, next_uid))

    def _expunge(self, mailbox: int, uids: list[int]) -> None:
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

    def _recount(self, mailbox: int, low: int, high: int, sign: int) -> None:
        """Add (or take off) the messages of a UID range to the mailbox's counters."""
        row = self._db.execute(
            "SELECT count(*), total(NOT f.seen), total(f.deleted), total(m.size), total(e.uid >= b.recent_uid)"
            " FROM entries e JOIN flagsets f ON f.id = e.flagset JOIN messages m ON m.id = e.message"
            " JOIN mailboxes b ON b.id = e.mailbox WHERE e.mailbox = ? AND e.uid BETWEEN ? AND ?",
            (mailbox, low, high),
        ).fetchone()
        messages, unseen, deleted, octets, recent = (sign * int(number) for number in row)
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

    def released_before(self, moment: int) -> list[tuple[int, bytes]]:
        """(id, file) of messages in no mailbox since before `moment`."""
        query = "SELECT id, file FROM messages WHERE released < ?"
        found: list[tuple[int, bytes]] = self._db.execute(query, (moment,)).fetchall()
        return found

    def forget(self, messages: Iterable[int]) -> list[int]:
        """Remove rows of messages that are still in no mailbox, and conversations without messages; the ids removed."""
        with self._meta.change():
            gone = [
                number
                for number in messages
                if self._db.value("DELETE FROM messages WHERE id = ? AND copies = 0 RETURNING id", number) is not None
            ]
            if gone:
                self._db.execute(
                    "DELETE FROM threads WHERE thread NOT IN (SELECT thread FROM messages WHERE thread IS NOT NULL)"
                )
            return gone

    def files(self) -> Iterator[bytes]:
        """Every file a row refers to."""
        for (file,) in self._db.execute("SELECT file FROM messages"):
            yield bytes(file)
