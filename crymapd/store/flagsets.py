"""Combinations of flags, of which each message has one number, and the keywords of the account."""

from __future__ import annotations

from crymapd.errors import MailboxFull
from crymapd.model.flags import DELETED, SEEN, in_order
from crymapd.model.numbers import FlagSetId
from crymapd.store.database import Database

MAX_KEYWORDS = 10_000


class FlagSets:
    """The flag sets and keywords of one `meta.db`, remembered while they are committed."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._flags: dict[FlagSetId, str] = {}
        self._ids: dict[str, FlagSetId] = {}

    def flags_of(self, flagset: FlagSetId) -> str:
        """The flags of a set, parted by spaces."""
        if flagset not in self._flags:
            self._flags[flagset] = str(self._db.value("SELECT flags FROM flagsets WHERE id = ?", flagset))
        return self._flags[flagset]

    def id_of(self, flags: frozenset[str]) -> FlagSetId:
        """The set of these flags, made if need be (inside a transaction); keywords take the account's spelling.

        Raises:
            MailboxFull: the account would have too many keywords.
        """
        text = " ".join(in_order(self._spelled(flag) for flag in flags))
        if text not in self._ids:
            known = self._known(text)
            self._ids[text] = self._made(text, flags) if known is None else known
        if self._keyword_count() > MAX_KEYWORDS:
            raise MailboxFull(f"more than {MAX_KEYWORDS} keywords in the account")
        return self._ids[text]

    def _known(self, text: str) -> FlagSetId | None:
        flagset: FlagSetId | None = self._db.value("SELECT id FROM flagsets WHERE flags = ?", text)
        return flagset

    def _made(self, text: str, flags: frozenset[str]) -> FlagSetId:
        row = (text, SEEN in flags, DELETED in flags)
        self._db.execute("INSERT INTO flagsets (flags, seen, deleted) VALUES (?, ?, ?)", row)
        return FlagSetId(self._db.last_id())

    def _spelled(self, flag: str) -> str:
        if flag.startswith("\\"):
            return flag
        self._db.execute("INSERT INTO keywords (name) VALUES (?) ON CONFLICT DO NOTHING", (flag,))
        return str(self._db.value("SELECT name FROM keywords WHERE name = ?", flag))

    def keywords(self) -> list[str]:
        """Every keyword of the account, oldest first."""
        return [name for (name,) in self._db.execute("SELECT name FROM keywords ORDER BY id")]

    def _keyword_count(self) -> int:
        return int(self._db.value("SELECT count(*) FROM keywords"))

    def forget(self) -> None:
        """Forget what is remembered, as some of it may have been rolled back."""
        self._flags.clear()
        self._ids.clear()
