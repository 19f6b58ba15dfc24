"""Flag sets, each a combination of flags with an id of its own, and the keywords of the account."""

from __future__ import annotations

from crymapd.errors import MailboxFull
from crymapd.model.flags import DELETED, SEEN, in_order
from crymapd.model.numbers import FlagSetId
from crymapd.store.database import Database

MAX_KEYWORDS = 10_000


class FlagSets:
    """The flag sets and keywords of one `meta.db`, with a cache that a rollback must empty (`forget`)."""

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
        text = " ".join(in_order(self._spelled(flag) for flag in flags))
        if text not in self._ids:
            flagset = self._find(text)
            self._ids[text] = self._insert(text, flags) if flagset is None else flagset
        if self._keyword_count() > MAX_KEYWORDS:
            raise MailboxFull(f"more than {MAX_KEYWORDS} keywords in the account")
        return self._ids[text]

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

    def keywords(self) -> list[str]:
        """Return every keyword of the account, the oldest first."""
        return [name for (name,) in self._db.execute("SELECT name FROM keywords ORDER BY id")]

    @property
    def is_full(self) -> bool:
        """Whether the account has as many keywords as it may have."""
        return self._keyword_count() >= MAX_KEYWORDS

    def _keyword_count(self) -> int:
        return int(self._db.value("SELECT count(*) FROM keywords"))

    def forget(self) -> None:
        """Empty the cache after a rollback, which may have removed some of what it holds."""
        self._flags.clear()
        self._ids.clear()
