"""The history of `meta.db`: a step with a random token for each time that message ids were given out.

`index.db` remembers the last step at which it was filled.  If an older `meta.db` is put back, it gives the same ids
to other messages.  The step that the index remembers is then not in its history, which is how we notice.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from crymapd.store.database import Database

_TOKEN_BYTES = 8
_REMEMBERED_STEPS = 1 << 16


class Step(NamedTuple):
    """A row of `history`."""

    position: int
    token: bytes


class History:
    """The steps of one `meta.db`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    @property
    def is_empty(self) -> bool:
        """Whether no step was ever noted, which is so in a new database only."""
        return not self._db.value("SELECT max(step) FROM history")

    def note_step(self) -> None:
        """Note, inside a transaction, that message ids are given out."""
        token = secrets.token_bytes(_TOKEN_BYTES)  # a forked sibling may draw the same random values from SQLite
        self._db.execute("INSERT INTO history (token) VALUES (?)", (token,))
        self._db.execute("DELETE FROM history WHERE step <= ?", (self._db.last_id() - _REMEMBERED_STEPS,))

    def last_step(self) -> Step:
        """Return the last step: when message ids were last given out, or when the history was begun."""
        return Step(*self._db.execute("SELECT step, token FROM history ORDER BY step DESC LIMIT 1").fetchone())

    def has_step(self, step: Step) -> bool:
        """Whether message ids still mean what they meant at a step. False also if the step was forgotten as too old."""
        return bool(self._db.value("SELECT count(*) FROM history WHERE (step, token) = (?, ?)", *step))
