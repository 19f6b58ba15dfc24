"""Threads: which messages have the same THREADID (RFC 8474 section 5.2), decided when a message is filed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from crymapd.model.numbers import MessageId
from crymapd.store.database import Database

References = Sequence[bytes]
"""The Message-IDs that tie a message to others, its own first (`mime.references`)."""


class Threads:
    """The threads of one `meta.db`. The id of a thread is the EMAILID of its first message."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def join(self, references: References, email_id: bytes) -> bytes:
        """Return the thread of a new message, inside a transaction: that of its first reference that has one.

        If no reference has one, the message begins a thread of its own.
        """
        keys = [_key(reference) for reference in references]
        threads = (self._db.value("SELECT thread FROM threads WHERE reference = ?", key) for key in keys)
        thread = next((bytes(thread) for thread in threads if thread is not None), email_id)
        self._db.executemany("INSERT OR IGNORE INTO threads VALUES (?, ?)", [(key, thread) for key in keys])
        return thread

    def forget_empty(self) -> None:
        """Forget, inside a transaction, the threads of which no message is left."""
        self._db.execute(
            "DELETE FROM threads WHERE thread NOT IN (SELECT thread FROM messages WHERE thread IS NOT NULL)"
        )

    # Dividing threads that have joined strangers: `schema/meta-004.sql` has the tables

    def undivided(self, limit: int) -> list[MessageId]:
        """Return the first messages whose threads are to be decided anew, in the order of their filing."""
        return [m for (m,) in self._db.execute("SELECT message FROM undivided ORDER BY message LIMIT ?", (limit,))]

    def divide(self, references: Mapping[MessageId, References | None]) -> None:
        """File messages into threads anew, inside a transaction, as they would be filed today.

        Of a thread that is divided, what belongs together with its oldest message keeps the THREADID.

        Args:
            references: for the first messages that `undivided` returned, in the same order, the Message-IDs they refer
                to; None for a message that cannot be read, which keeps its thread.
        """
        for message, its_references in references.items():
            row = self._db.execute("SELECT thread, email_id FROM messages WHERE id = ?", (message,)).fetchone()
            if row is not None:
                former, email_id = map(bytes, row)
                self._decide(message, former, email_id, its_references)
            self._db.execute("DELETE FROM undivided WHERE message = ?", (message,))
        if not self.undivided(1):
            # What only messages that are gone have named may have joined strangers, too.
            self._db.execute("DELETE FROM threads WHERE thread IN (SELECT thread FROM mixed_threads)")
            self._db.execute(
                "INSERT INTO threads SELECT reference, thread FROM divided_references WHERE true"
                " ON CONFLICT DO UPDATE SET thread = excluded.thread"
            )
            self._db.execute("DELETE FROM divided_references")
            self._db.execute("DELETE FROM mixed_threads")

    def _decide(self, message: MessageId, former: bytes, email_id: bytes, references: References | None) -> None:
        keys = [_key(reference) for reference in references or ()]
        settled = {key: self._settled_thread(key) for key in keys}
        threads = [former] if references is None else settled.values()
        thread = next((settled_thread for settled_thread in threads if settled_thread is not None), None)
        if thread is None:
            thread = email_id if self._db.value("SELECT kept FROM mixed_threads WHERE thread = ?", former) else former
        self._db.execute("UPDATE mixed_threads SET kept = 1 WHERE thread = ?", (thread,))
        self._db.execute("UPDATE messages SET thread = ? WHERE id = ?", (thread, message))
        rows = [(key, thread) for key in keys if settled[key] is None]
        self._db.executemany("INSERT INTO divided_references VALUES (?, ?)", rows)

    def _settled_thread(self, key: bytes) -> bytes | None:
        """Return the thread of a reference, unless nobody knows it or only a thread that is being divided does."""
        thread = self._db.value("SELECT thread FROM divided_references WHERE reference = ?", key)
        if thread is None:
            settled = "thread NOT IN (SELECT thread FROM mixed_threads)"
            thread = self._db.value(f"SELECT thread FROM threads WHERE reference = ? AND {settled}", key)
        return None if thread is None else bytes(thread)


def _key(reference: bytes) -> bytes:
    return hashlib.sha256(reference).digest()[:16]
