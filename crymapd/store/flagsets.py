"""Flag sets, each a combination of flags with an id of its own, and the keywords of the account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from crymapd.errors import MailboxFull
from crymapd.model.flags import DELETED, SEEN, in_order
from crymapd.model.numbers import FlagSetId, MailboxId
from crymapd.store.database import Database
from crymapd.store.query_sets import UidSet

MAX_KEYWORDS = 10_000


class FlagSets:
    """The flag sets and keywords of one `meta.db`, with a cache that a rollback must empty (`empty_cache`)."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._flags: dict[FlagSetId, str] = {}
        self._ids: dict[str, FlagSetId] = {}

    def flags_of(self, flagset: FlagSetId) -> str:
        """Return the flags of a set, separated by spaces."""
        if flagset not in self._flags:
            self._flags[flagset] = str(self._db.value("SELECT flags FROM flagsets WHERE id = ?", flagset))
        return self._flags[flagset]

    def id_of(self, flags: frozenset[str]) -> FlagSetId:
        """Find or make the set of these flags, inside a transaction.

        A keyword that the account has already keeps the spelling in which it was first used.

        Raises:
            MailboxFull: the account would have too many keywords.
        """
        self._make_room(flags)
        text = " ".join(in_order(self._spelled(flag) for flag in flags))
        if text not in self._ids:
            flagset = self._find(text)
            self._ids[text] = self._insert(text, flags) if flagset is None else flagset
        return self._ids[text]

    def _make_room(self, flags: frozenset[str]) -> None:
        """Forget the keywords that no message has, if otherwise there would be too many with these.

        Raises:
            MailboxFull: there would still be too many.
        """
        if self._keyword_count() + len(flags) <= MAX_KEYWORDS:  # as usual
            return
        new = sum(self._is_new(flag) for flag in flags)
        if new and self._keyword_count() + new > MAX_KEYWORDS:
            self.forget_unused()
            if self._keyword_count() + new > MAX_KEYWORDS:
                raise MailboxFull(f"more than {MAX_KEYWORDS} keywords in the account")

    def _is_new(self, flag: str) -> bool:
        known = "SELECT 1 FROM keywords WHERE name = ?"
        return not flag.startswith("\\") and self._db.value(known, flag) is None

    def _find(self, text: str) -> FlagSetId | None:
        flagset: FlagSetId | None = self._db.value("SELECT id FROM flagsets WHERE flags = ?", text)
        return flagset

    def _insert(self, text: str, flags: frozenset[str]) -> FlagSetId:
        row = (text, SEEN in flags, DELETED in flags)
        self._db.execute("INSERT INTO flagsets (flags, seen, deleted) VALUES (?, ?, ?)", row)
        return FlagSetId(self._db.last_id())

    def _spelled(self, flag: str) -> str:
        """Give a keyword the spelling that the account has; note a new one."""
        if flag.startswith("\\"):
            return flag
        self._db.execute("INSERT INTO keywords (name) VALUES (?) ON CONFLICT DO NOTHING", (flag,))
        return str(self._db.value("SELECT name FROM keywords WHERE name = ?", flag))

    def keywords(self, mailbox: MailboxId) -> list[str]:
        """Return the keywords that messages of a mailbox have, the oldest first."""
        query = "SELECT name FROM keywords JOIN mailbox_keywords ON keyword = id WHERE mailbox = ? ORDER BY id"
        return [name for (name,) in self._db.execute(query, (mailbox,))]

    def count_use(self, mailbox: MailboxId, messages: Mapping[FlagSetId, int]) -> None:
        """Count, inside a transaction, how many messages of a mailbox have got or, if negative, lost a flag set."""
        changes: Counter[str] = Counter()
        for flagset, count in messages.items():
            for flag in self.flags_of(flagset).split():
                if not flag.startswith("\\"):
                    changes[flag] += count
        rows = [(mailbox, change, keyword) for keyword, change in changes.items() if change]
        if rows:
            self._db.executemany(
                "INSERT INTO mailbox_keywords SELECT ?, id, ? FROM keywords WHERE name = ?"
                " ON CONFLICT DO UPDATE SET messages = messages + excluded.messages",
                rows,
            )
            self._db.execute("DELETE FROM mailbox_keywords WHERE mailbox = ? AND messages <= 0", (mailbox,))

    def count_entries(self, mailbox: MailboxId, entries: UidSet, sign: int) -> None:
        """Do as `count_use` does for the entries in a set; `sign` is 1 after they were added, -1 before a removal."""
        query = f"SELECT e.flagset, count(*) FROM {entries.tables} WHERE {entries.where} GROUP BY e.flagset"
        rows = self._db.execute(query, entries.values).fetchall()
        self.count_use(mailbox, {flagset: sign * count for flagset, count in rows})

    def has_keywords(self, mailbox: MailboxId) -> bool:
        """Whether any message of a mailbox has a keyword."""
        return self._db.value("SELECT 1 FROM mailbox_keywords WHERE mailbox = ? LIMIT 1", mailbox) is not None

    def recount(self) -> None:
        """Count anew, inside a transaction, which keywords are in use, and forget the others."""
        self._db.execute("DELETE FROM mailbox_keywords")
        self._db.execute("INSERT INTO mailbox_keywords SELECT * FROM counted_keywords")
        self.forget_unused()

    def forget_unused(self) -> None:
        """Forget, inside a transaction, the keywords that no message has.

        Flag sets stay, because other processes cache their ids. `id_of` creates the keywords of one that is used again.
        """
        self._db.execute("DELETE FROM keywords WHERE id NOT IN (SELECT keyword FROM mailbox_keywords)")

    @property
    def is_full(self) -> bool:
        """Whether the account has as many keywords as it may have, and messages have all of them."""
        if self._keyword_count() < MAX_KEYWORDS:
            return False
        unused = "SELECT 1 FROM keywords WHERE id NOT IN (SELECT keyword FROM mailbox_keywords) LIMIT 1"
        return self._db.value(unused) is None

    def _keyword_count(self) -> int:
        return int(self._db.value("SELECT count(*) FROM keywords"))

    def empty_cache(self) -> None:
        """Empty the cache after a rollback, which may have removed some of what it holds."""
        self._flags.clear()
        self._ids.clear()
