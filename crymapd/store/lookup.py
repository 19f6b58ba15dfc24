"""Questions about the messages in mailboxes. Nothing here writes; UID ranges are ascending and disjoint.

Questions about many messages are answered in columns (`rows.EntryColumns`).  SQLite writes a column as a JSON array,
and the JSON decoder makes the list, which takes a third of the time that rows take.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import msgspec

from crymapd.model.changes import Changes, Entry
from crymapd.model.numbers import MAX_UID, MailboxId, MessageId, ModSeq, SeqNum, Uid
from crymapd.model.sequence import Range, difference, intersection, ranges_of
from crymapd.store.condition import Condition
from crymapd.store.database import Bindings
from crymapd.store.mailboxes import Mailbox
from crymapd.store.meta import Meta
from crymapd.store.query_sets import in_groups, message_set, uid_set
from crymapd.store.rows import EntryColumns, SealedFile, Stored, StoredColumns, make_stored, stored_columns

_PAGE = 1000
_NEAR = 1000
_BLOCK = 10  # bits of a UID within its block, as in schema/meta-002.sql
_make_entry: Callable[[Iterable[Any]], Entry] = partial(tuple.__new__, Entry)  # as `rows.make_stored`
_NO_BLOCK = 1 << 32  # beyond the block of any UID

T = TypeVar("T")
_decoded = msgspec.json.Decoder(list[int]).decode
_ENTRY_NAMES = ("e.uid", "e.flagset", "e.modseq")
_ENTRY = ", ".join(_ENTRY_NAMES)
_STORED = "e.uid, e.flagset, e.modseq, e.saved, m.id, m.size, m.received, m.zone, m.email_id, m.thread"
_STORED_COUNT = len(Stored._fields)


class JudgedRow(NamedTuple):
    """A row, and the truth (1 or 0) of each further condition."""

    row: Stored
    truths: tuple[int, ...]


def _matching_query(columns: str, source: str, where: Condition) -> str:
    """Write a query with three gaps for %: the table, the kind of join, and a condition on expunged messages."""
    return (
        f"SELECT {columns} FROM {source} %s JOIN messages m ON m.id = e.message WHERE e.mailbox = ?"
        f" AND e.uid BETWEEN ? AND ? AND ({where.text})%s ORDER BY e.uid LIMIT ?"
    )


def _merged(page: EntryColumns, other: EntryColumns) -> EntryColumns:
    """Merge two pages into one, ascending by UID."""
    return EntryColumns(*zip(*sorted((*zip(*page, strict=True), *zip(*other, strict=True))), strict=True))


class Lookup:
    """Answers questions about messages from `meta.db`."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._db = meta.db

    def uids(self, mailbox: MailboxId, below: Uid, since: ModSeq) -> array[int]:
        """Return the UIDs below `below` that a session counts: those present, and those expunged after `since`."""
        present = "SELECT uid FROM entries WHERE mailbox = ? AND uid < ?"
        expunged = "SELECT uid FROM expunges WHERE mailbox = ? AND modseq > ? AND uid < ?"
        query = "SELECT json_group_array(uid) FROM (%s)"
        with self._db.read():
            uids = _decoded(self._db.value(query % present, mailbox, below))
            uids += _decoded(self._db.value(query % expunged, mailbox, since, below))
        uids.sort()
        return array("I", uids)

    def entries(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> Iterator[Entry]:
        """Yield the entries in these ranges, ascending by UID."""
        pages = self.entry_pages(mailbox, ranges)
        return map(_make_entry, chain.from_iterable(zip(*page, strict=True) for page in pages))

    def entry_pages(
        self, mailbox: MailboxId, ranges: Sequence[Range[Uid]], since: int = 0, *, modseqs: bool = True
    ) -> Iterator[EntryColumns]:
        """Yield the entries that have changed after modseq `since`, as columns.

        They come a page at a time, and no page is read before it is asked for, so that a slow client does not hold a
        read transaction.  Without `modseqs` that column is empty.
        """
        changed = f" AND +e.modseq > {since:d}" if since else ""
        for group in in_groups(ranges, _PAGE):
            while group:
                uids = uid_set(mailbox, group)
                query = f"SELECT {_ENTRY} FROM {uids.tables} WHERE {uids.where}{changed} ORDER BY e.uid LIMIT {_PAGE}"
                page = self._columns(query, uids.values, 3 if modseqs else 2)
                if page.uids:
                    yield page
                is_last = len(page.uids) < _PAGE
                group = [] if is_last else intersection(group, [(Uid(page.uids[-1] + 1), MAX_UID)])

    def _columns(self, query: str, values: Bindings, count: int = 3) -> EntryColumns:
        """Run a query for entries and return its first `count` columns.

        The query must have a LIMIT, without which SQLite would not keep its order in a subquery.
        """
        arrays = ", ".join(f"json_group_array({name})" for name in _ENTRY_NAMES[:count])
        columns = map(_decoded, self._db.execute(f"SELECT {arrays} FROM ({query}) e", values).fetchone())
        return EntryColumns(*columns, *((),) * (3 - count))  # type: ignore[arg-type]  # SQLite gives plain numbers

    def stored_pages(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> Iterator[StoredColumns]:
        """Yield the full rows of present messages as columns: a page for a thousand UIDs, or for one longer range."""
        for group in in_groups(ranges, _PAGE):
            uids = uid_set(mailbox, group)
            query = (
                f"SELECT {_STORED} FROM {uids.tables} JOIN messages m ON m.id = e.message"
                f" WHERE {uids.where} ORDER BY e.uid"
            )
            yield stored_columns(self._db.execute(query, uids.values).fetchall())

    def sealed_files(self, messages: Iterable[MessageId]) -> dict[MessageId, SealedFile]:
        """Return where messages are read from, by message id; purged messages are left out."""
        where, values = message_set("id", messages)
        rows = self._db.execute(
            f"SELECT id, file, body_key, size, damaged FROM messages WHERE {where}", values
        ).fetchall()
        return {message: SealedFile(*values) for message, *values in rows}

    def expunged(self, mailbox: MailboxId, uid: Uid) -> Stored | None:
        """Return the row of an expunged message, for a session that has not been told; None once it is purged."""
        row = self._db.execute(
            # Without the hint SQLite reads all expunges of the mailbox, as that spares it from sorting one row.
            f"SELECT {_STORED} FROM expunges e INDEXED BY expunges_uid JOIN messages m ON m.id = e.message"
            " WHERE e.mailbox = ? AND e.uid = ? ORDER BY e.modseq DESC LIMIT 1",
            (mailbox, uid),
        ).fetchone()
        return None if row is None else make_stored(row)

    def messages_after(self, message: MessageId, limit: int = -1) -> list[MessageId]:
        """Return the ids of at most `limit` messages after this one, ascending; of all if `limit` is -1."""
        rows = self._db.execute("SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT ?", (message, limit))
        return [later for (later,) in rows]

    def messages_in(self, mailbox: MailboxId, after: MessageId) -> list[MessageId]:
        """Return the ids after this one of messages that are in a mailbox or were expunged from it; usually none."""
        if not self.messages_after(after, 1):
            return []
        # The + makes SQLite look at the few messages after this one, not at all messages of the mailbox.
        query = (
            "SELECT message FROM entries WHERE +mailbox = :mailbox AND message > :after"
            " UNION SELECT message FROM expunges WHERE +mailbox = :mailbox AND message > :after ORDER BY message"
        )
        return [message for (message,) in self._db.execute(query, {"mailbox": mailbox, "after": after})]

    def matching_entries(
        self, mailbox: MailboxId, where: Condition, *, page: int, below: Uid, since: ModSeq
    ) -> Iterator[EntryColumns]:
        """Yield the entries that meet a condition, ascending by UID, as columns, a page at a time.

        Args:
            mailbox: the mailbox to look in.
            where: the condition.
            page: how many present messages a page has at most.
            below: only messages with smaller UIDs are looked at.
            since: messages expunged after this modseq are looked at too.
        """

        query = _matching_query(_ENTRY, "%s e", where)
        for present, expunged in self._matched(query, mailbox, where, page, below, since, self._fetched_columns):
            yield _merged(present, expunged) if expunged.uids else present

    def _fetched_columns(self, query: str, values: Bindings) -> tuple[Sequence[Uid], EntryColumns]:
        columns = self._columns(query, values)
        return columns.uids, columns

    def matching_rows(
        self,
        mailbox: MailboxId,
        where: Condition,
        also: Sequence[Condition] = (),
        *,
        page: int,
        below: Uid,
        since: ModSeq,
        among: Iterable[MessageId] | None = None,
    ) -> Iterator[list[JudgedRow]]:
        """Yield the full rows of messages that meet a condition, with the truth of further ones, a page at a time.

        Args:
            mailbox, where, page, below, since: as for `matching_entries`.
            also: the further conditions.
            among: the only messages to look at; None for all.
        """
        columns = ", ".join([_STORED, *(f"({each.text})" for each in also)])
        source = "%s e" if among is None else "json_each(?) j CROSS JOIN %s e ON e.message = j.value"
        before: list[object] = [value for each in also for value in each.values]
        if among is not None:
            before.append(json.dumps(list(among)))
        query = _matching_query(columns, source, where)
        limit = page if among is None else -1
        pages = self._matched(query, mailbox, where, limit, below, since, self._fetched_judged, before)
        for present, expunged in pages:
            rows = sorted(present + expunged) if expunged else present
            yield from (rows[at : at + page] for at in range(0, len(rows), page))

    def _fetched_judged(self, query: str, values: Bindings) -> tuple[Sequence[Uid], list[JudgedRow]]:
        rows = self._db.execute(query, values).fetchall()
        return [row[0] for row in rows], [
            JudgedRow(make_stored(row[:_STORED_COUNT]), row[_STORED_COUNT:]) for row in rows
        ]

    def _matched(
        self,
        query: str,
        mailbox: MailboxId,
        where: Condition,
        limit: int,
        below: Uid,
        since: ModSeq,
        fetch: Callable[[str, Bindings], tuple[Sequence[Uid], T]],
        before: Sequence[object] = (),
    ) -> Iterator[tuple[T, T]]:
        """Run a `_matching_query` page by page: yield what it fetches of present and of expunged messages.

        `before` are values for parameters that stand before those of the query's WHERE.
        """
        low = 1
        while low < below:
            with self._db.read():
                values = (*before, mailbox, low, below - 1, *where.values)
                # LEFT lets SQLite skip `messages` if no column of it is needed; every entry has its row there.
                uids, present = fetch(query % ("entries", "LEFT", ""), (*values, limit))
                high = uids[-1] if len(uids) == limit else below - 1
                values = (*before, mailbox, low, high, *where.values, since)
                _uids, expunged = fetch(query % ("expunges", "", " AND e.modseq > ?"), (*values, -1))
            yield present, expunged
            low = high + 1

    def first_unseen(self, mailbox: Mailbox) -> SeqNum | None:
        """Return the sequence number of the first message without \\Seen.

        `mailbox` must have been read in the same snapshot, since its counters are used.  At most a thousand messages
        are looked at from either end of the mailbox, whatever its size.

        Returns:
            None if there is none, or if it was not found near either end.
        """
        unseen = mailbox.unseen
        if not unseen:
            return None
        order = (
            "SELECT f.seen FROM entries e JOIN flagsets f ON f.id = e.flagset WHERE e.mailbox = ? ORDER BY e.uid"
            " %s LIMIT %d"
        )
        for at, (seen,) in enumerate(self._db.execute(order % ("ASC", _NEAR), (mailbox.id,)), 1):
            if not seen:
                return SeqNum(at)
        for at, (seen,) in enumerate(self._db.execute(order % ("DESC", _NEAR), (mailbox.id,))):
            unseen -= not seen
            if not unseen:
                return SeqNum(mailbox.messages - at)
        return None

    def count(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> int:
        """Count the messages whose UIDs are in these ranges."""
        uids = uid_set(mailbox, ranges)
        return int(self._db.value(f"SELECT count(*) FROM {uids.tables} WHERE {uids.where}", *uids.values))

    def sealed_octets(self, mailbox: MailboxId, ranges: Sequence[Range[Uid]]) -> int:
        """Return how many octets on disk expunging messages would free, as they are in no other mailbox."""
        uids = uid_set(mailbox, ranges)
        query = (
            f"SELECT total(m.sealed) FROM {uids.tables} JOIN messages m ON m.id = e.message"
            f" WHERE {uids.where} AND m.copies = 1"
        )
        return int(self._db.value(query, *uids.values))

    def ranks(self, mailbox: MailboxId, uids: Sequence[Uid]) -> dict[Uid, SeqNum]:
        """Return the sequence numbers of ascending UIDs, in time proportional to their count, not to the mailbox.

        UIDs that are not present are left out.
        """
        ranks: dict[Uid, SeqNum] = {}
        before, blocks = 0, self._db.execute("SELECT block, messages FROM blocks WHERE mailbox = ?", (mailbox,))
        counts = iter(blocks.fetchall())
        block, messages = next(counts, (_NO_BLOCK, 0))
        within: dict[int, int] = {}
        for uid in uids:
            while block < uid >> _BLOCK:
                before += messages
                block, messages = next(counts, (_NO_BLOCK, 0))
                within = {}
            if not within:
                low = block << _BLOCK
                rows = self._db.execute(
                    "SELECT uid FROM entries WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid",
                    (mailbox, low, low + (1 << _BLOCK) - 1),
                )
                within = {present: at for at, (present,) in enumerate(rows, 1)}
            if uid in within:
                ranks[uid] = SeqNum(before + within[uid])
        return ranks

    def vanished(self, mailbox: Mailbox, since: int, within: Sequence[Range[Uid]]) -> list[Range[Uid]]:
        """Return the UIDs of `within` that were expunged after a modseq (RFC 7162 section 3.2.5.2).

        If expunges that old are no longer remembered, return all UIDs of `within` that are not present.
        """
        if since >= mailbox.pruned:
            rows = self._db.execute(
                "SELECT DISTINCT uid FROM expunges WHERE mailbox = ? AND modseq > ? ORDER BY uid", (mailbox.id, since)
            )
            return intersection(ranges_of(Uid(uid) for (uid,) in rows), within)
        below = intersection(within, [(Uid(1), Uid(mailbox.next_uid - 1))])
        return difference(below, ranges_of(entry.uid for entry in self.entries(mailbox.id, below)))

    def changes(
        self,
        mailbox: MailboxId,
        modseq: ModSeq,
        expunged_since: ModSeq,
        own: Collection[ModSeq] = (),
        told_below: Uid = MAX_UID,
    ) -> Changes:
        """Return what has happened in a mailbox.

        Args:
            mailbox: the mailbox.
            modseq: changed flags and new messages after this modseq are returned.
            expunged_since: expunges after this modseq are returned.
            own: modseqs at which the asking session itself changed flags; these changes are left out.
            told_below: messages from this UID on are never left out, since the session has yet to be told of them.
        """
        with self._db.read():
            mailbox_now = self._db.execute(
                "SELECT modseq, next_uid, pruned FROM mailboxes WHERE id = ? AND selectable", (mailbox,)
            ).fetchone()
            if mailbox_now is None:
                return Changes(modseq, Uid(0), gone=True)
            modseq_now, next_uid, pruned = mailbox_now
            if expunged_since < pruned:
                return Changes(modseq, Uid(0), forgotten=True)
            if modseq_now == modseq == expunged_since:
                return Changes(modseq, next_uid)
            changed = self._db.execute(
                "SELECT uid, flagset, modseq FROM entries WHERE mailbox = ? AND modseq > ?"
                " AND NOT (uid < ? AND modseq IN (SELECT value FROM json_each(?)))",
                (mailbox, modseq, told_below, json.dumps(list(own))),
            ).fetchall()
            expunged = self._db.execute(
                "SELECT uid FROM expunges WHERE mailbox = ? AND modseq > ?", (mailbox, expunged_since)
            ).fetchall()
        entries = tuple(map(_make_entry, sorted(changed)))
        return Changes(modseq_now, next_uid, entries, tuple(sorted(uid for (uid,) in expunged)))
