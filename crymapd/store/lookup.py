"""Questions about messages in mailboxes, by mailbox id and ascending disjoint UID ranges.

Rows come out as tuples: a mailbox of 100,000 messages must not become 100,000 objects.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

from crymapd.model.changes import Changes
from crymapd.model.numbers import MAX_UID, ModSeq, Uid
from crymapd.model.sequence import Range, difference, intersection, ranges_of
from crymapd.store.condition import Condition
from crymapd.store.database import Bindings
from crymapd.store.mailboxes import Mailbox
from crymapd.store.meta import Meta

_PAGE = 1000
_NEAR = 1000
_BLOCK = 10  # bits of a UID within its block, as in schema/meta-002.sql
_NO_BLOCK = 1 << 32

Entry = tuple[int, int, int]
"""uid, flagset, modseq: what `meta.flags_of` and a FETCH of flags need."""

Stored = tuple[int, int, int, int, int, int, int, int, bytes, "bytes | None"]
"""uid, flagset, modseq, saved, message id, size, received, zone, email id, thread."""

SealedFile = tuple[bytes, bytes, int, "str | None"]
"""file, body key, size, why it is damaged."""

Columns = tuple[list[int], ...]
"""The columns of Entry, or the first. SQLite and the JSON decoder make them: as rows they take three times as long."""

STORED_COLUMNS = 10
_numbers = msgspec.json.Decoder(list[int]).decode
_ENTRY_NAMES = ("e.uid", "e.flagset", "e.modseq")
_ENTRY = ", ".join(_ENTRY_NAMES)
_STORED = "e.uid, e.flagset, e.modseq, e.saved, m.id, m.size, m.received, m.zone, m.email_id, m.thread"


class Lookup:
    """What `meta.db` knows of messages; nothing here writes."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._db = meta.db

    def uids(self, mailbox: int, below: int, since: int) -> array[int]:
        """UIDs under `below` that a session must still count: present now, or expunged after modseq `since`."""
        present = "SELECT uid FROM entries WHERE mailbox = ? AND uid < ?"
        gone = "SELECT uid FROM expunges WHERE mailbox = ? AND modseq > ? AND uid < ?"
        query = "SELECT json_group_array(uid) FROM (%s)"
        with self._db.read():
            found = _numbers(self._db.value(query % present, mailbox, below))
            found += _numbers(self._db.value(query % gone, mailbox, since, below))
        found.sort()
        return array("I", found)

    def flags(self, mailbox: int, ranges: Sequence[Range]) -> Iterator[Entry]:
        """(uid, flagset, modseq) of present messages, from the entries alone: the fast way."""
        return chain.from_iterable(zip(*page, strict=True) for page in self.flag_pages(mailbox, ranges))

    def flag_pages(
        self, mailbox: int, ranges: Sequence[Range], since: int = 0, *, modseqs: bool = True
    ) -> Iterator[Columns]:
        """The same in columns, the last only where it is asked for, of messages changed after a modseq.

        A page at a time, so that no slow client holds a read transaction.
        """
        changed = " AND +modseq > :since" if since else ""
        query = f"SELECT {_ENTRY} FROM entries e WHERE mailbox = :mailbox AND uid BETWEEN :low AND :high{changed}"
        query += " ORDER BY uid LIMIT :page"
        for low, high in ranges:
            while low <= high:
                values = {"mailbox": mailbox, "low": low, "high": high, "since": since, "page": _PAGE}
                page = self._columns(query, values, 3 if modseqs else 2)
                uids = page[0]
                if uids:
                    yield page
                if len(uids) < _PAGE:
                    break
                low = uids[-1] + 1

    def _columns(self, query: str, values: Bindings, count: int = 3) -> Columns:
        """The first columns of what a query for Entry finds that has a LIMIT, and so its order."""
        shown = ", ".join(f"json_group_array({name})" for name in _ENTRY_NAMES[:count])
        return tuple(map(_numbers, self._db.execute(f"SELECT {shown} FROM ({query}) e", values).fetchone()))

    def stored(self, mailbox: int, ranges: Sequence[Range]) -> Iterator[Stored]:
        """Full rows of present messages; each range is read before any of it is given out."""
        for low, high in ranges:
            yield from self._db.execute(
                f"SELECT {_STORED} FROM entries e JOIN messages m ON m.id = e.message"
                " WHERE e.mailbox = ? AND e.uid BETWEEN ? AND ? ORDER BY e.uid",
                (mailbox, low, high),
            ).fetchall()

    def sealed_files(self, messages: Iterable[int]) -> dict[int, SealedFile]:
        """Where to read messages, by their ids; those gone for good are left out."""
        query = "SELECT id, file, body_key, size, damaged FROM messages WHERE id BETWEEN ? AND ?"
        return {
            row[0]: row[1:]
            for low, high in ranges_of(sorted(set(messages)))
            for row in self._db.execute(query, (low, high)).fetchall()
        }

    def expunged(self, mailbox: int, uid: int) -> Stored | None:
        """A message that was expunged but whose file is still there, for a session not yet told."""
        row: Stored | None = self._db.execute(
            f"SELECT {_STORED} FROM expunges e JOIN messages m ON m.id = e.message WHERE e.mailbox = ? AND e.uid = ?"
            " ORDER BY e.modseq DESC LIMIT 1",
            (mailbox, uid),
        ).fetchone()
        return row

    def messages_after(self, number: int, limit: int = -1) -> list[int]:
        """Ids of messages beyond an id, ascending."""
        return [
            row[0]
            for row in self._db.execute("SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT ?", (number, limit))
        ]

    def matching(
        self,
        mailbox: int,
        where: Condition,
        also: Sequence[Condition] = (),
        *,
        whole: bool,
        page: int,
        below: int,
        since: int,
        among: Iterable[int] | None = None,
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Messages that meet a condition, ascending by UID, in pages.

        Args:
            mailbox: where.
            where: the condition.
            also: conditions that are answered behind the columns of each whole row.
            whole: rows of Stored; else of Entry.
            page: at most so many rows at once.
            below: of UIDs under this.
            since: with those expunged after this modseq.
            among: only these message ids.
        """

        def rows_of(query: str, values: Bindings) -> list[tuple[Any, ...]]:
            found = (
                self._db.execute(query, values).fetchall() if whole else zip(*self._columns(query, values), strict=True)
            )
            return list(found)

        columns = ", ".join([_STORED, *(f"({one.text})" for one in also)]) if whole else _ENTRY
        source = "%s e" if among is None else "json_each(?) j CROSS JOIN %s e ON e.message = j.value"
        query = (
            f"SELECT {columns} FROM {source} %s JOIN messages m ON m.id = e.message WHERE e.mailbox = ?"
            f" AND e.uid BETWEEN ? AND ? AND ({where.text})%s ORDER BY e.uid LIMIT ?"
        )
        before = [value for one in also for value in one.values]
        limit, low = page, 1
        if among is not None:
            before.append(json.dumps(list(among)))
            limit = -1
        while low < below:
            with self._db.read():
                values = (*before, mailbox, low, below - 1, *where.values)
                # A message that is present has its row: LEFT, as that is then read only where it is needed.
                rows = rows_of(query % ("entries", "LEFT", ""), (*values, limit))
                high = rows[-1][0] if len(rows) == limit else below - 1
                values = (*before, mailbox, low, high, *where.values, since)
                gone = rows_of(query % ("expunges", "", " AND e.modseq > ?"), (*values, -1))
            rows = sorted(rows + gone) if gone else rows
            yield from (rows[at : at + page] for at in range(0, len(rows), page))
            low = high + 1

    def first_unseen(self, mailbox: int, messages: int, unseen: int) -> int | None:
        """The number of the first message without \\Seen, where it is near the beginning or the end.

        At most a thousand messages are looked at from either side, whatever the size of the mailbox.
        """
        if not unseen:
            return None
        order = (
            "SELECT f.seen FROM entries e JOIN flagsets f ON f.id = e.flagset WHERE e.mailbox = ? ORDER BY e.uid"
            " %s LIMIT %d"
        )
        for at, (seen,) in enumerate(self._db.execute(order % ("ASC", _NEAR), (mailbox,)), 1):
            if not seen:
                return at
        for at, (seen,) in enumerate(self._db.execute(order % ("DESC", _NEAR), (mailbox,))):
            unseen -= not seen
            if not unseen:
                return messages - at
        return None

    def count(self, mailbox: int, low: int, high: int) -> int:
        """How many messages have a UID in a range."""
        query = "SELECT count(*) FROM entries WHERE mailbox = ? AND uid BETWEEN ? AND ?"
        return int(self._db.value(query, mailbox, low, high))

    def deleted_octets(self, mailbox: Mailbox) -> int:
        """The octets of messages with \\Deleted; costs nothing where there are none."""
        if not mailbox.deleted:
            return 0
        return int(
            self._db.value(
                "SELECT total(m.size) FROM entries e JOIN messages m ON m.id = e.message WHERE e.mailbox = ?"
                " AND e.flagset IN (SELECT id FROM flagsets WHERE deleted)",
                mailbox.id,
            )
        )

    def sealed_octets(self, mailbox: int, ranges: Sequence[Range]) -> int:
        """What the files of messages take on disk that are in no other mailbox."""
        query = (
            "SELECT total(m.sealed) FROM entries e JOIN messages m ON m.id = e.message"
            " WHERE e.mailbox = ? AND e.uid BETWEEN ? AND ? AND m.copies = 1"
        )
        return sum(int(self._db.value(query, mailbox, low, high)) for low, high in ranges)

    def ranks(self, mailbox: int, uids: Sequence[int]) -> dict[int, int]:
        """Sequence numbers of ascending, present UIDs, in time proportional to their number and not to the mailbox."""
        found: dict[int, int] = {}
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
                within = {row[0]: at for at, row in enumerate(rows, 1)}
            if uid in within:
                found[uid] = before + within[uid]
        return found

    def vanished(self, mailbox: Mailbox, since: int, within: Sequence[Range]) -> list[Range]:
        """UIDs of `within` that went away after a modseq (RFC 7162 section 3.2.5.2).

        Where expunges that old are no longer remembered, all of `within` that is not there.
        """
        if since >= mailbox.pruned:
            rows = self._db.execute(
                "SELECT DISTINCT uid FROM expunges WHERE mailbox = ? AND modseq > ? ORDER BY uid", (mailbox.id, since)
            )
            return intersection(ranges_of(row[0] for row in rows), within)
        below = intersection(within, [(1, mailbox.next_uid - 1)])
        return difference(below, ranges_of(uid for uid, _flagset, _modseq in self.flags(mailbox.id, below)))

    def changes(
        self, mailbox: int, modseq: int, expunged_since: int, own: Collection[int] = (), known: int = MAX_UID
    ) -> Changes:
        """What happened after two modseqs (for flags and arrivals, and for expunges).

        Changes of UIDs under `known` at the modseqs `own` are left out: who asks made them.
        """
        with self._db.read():
            now = self._db.execute(
                "SELECT modseq, next_uid, pruned FROM mailboxes WHERE id = ? AND selectable", (mailbox,)
            ).fetchone()
            if now is None:
                return Changes(ModSeq(modseq), Uid(0), gone=True)
            if expunged_since < now[2]:
                return Changes(ModSeq(modseq), Uid(0), forgotten=True)
            if now[0] == modseq == expunged_since:
                return Changes(ModSeq(modseq), Uid(now[1]))
            changed = self._db.execute(
                "SELECT uid, flagset, modseq FROM entries WHERE mailbox = ? AND modseq > ?"
                " AND NOT (uid < ? AND modseq IN (SELECT value FROM json_each(?)))",
                (mailbox, modseq, known, json.dumps(list(own))),
            ).fetchall()
            expunged = self._db.execute(
                "SELECT uid FROM expunges WHERE mailbox = ? AND modseq > ?", (mailbox, expunged_since)
            ).fetchall()
        return Changes(
            ModSeq(now[0]), Uid(now[1]), tuple(sorted(changed)), tuple(sorted(Uid(uid) for (uid,) in expunged))
        )
