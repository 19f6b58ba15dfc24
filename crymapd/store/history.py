"""Which message ids mean which messages: a random token for each time that ids were given out.

`index.db` remembers the last step it was filled at.  Where an older `meta.db` was put back, it has given the same
ids to other messages since, or will; then the step that the index knows is not in its history.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from crymapd.store.database import Database

_TOKEN_BYTES = 8
_REMEMBERED_STEPS = 1 << 16


class Step(NamedTuple):
    """A row of `history`."""

    number: int
    token: bytes


class History:
    """The steps of one `meta.db`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    @property
    def is_empty(self) -> bool:
        """Whether no step was ever noted, as in a new database."""
        return not self._db.value("SELECT max(step) FROM history")

    def note_step(self) -> None:
        """Note that message ids are given out (inside a transaction)."""
        token = secrets.token_bytes(_TOKEN_BYTES)  # SQLite's own random numbers may be those of a forked sibling
        self._db.execute("INSERT INTO history (token) VALUES (?)", (token,))
        self._db.execute("DELETE FROM history WHERE step <= ?", (self._db.last_id() - _REMEMBERED_STEPS,))

    def last_step(self) -> Step:
        """The last time that message ids were given out, or that the history was begun."""
        return Step(*self._db.execute("SELECT step, token FROM history ORDER BY step DESC LIMIT 1").fetchone())

    def has_step(self, step: Step) -> bool:
        """Whether message ids up to that step mean what they meant then; False also where that is too long ago."""
        return bool(self._db.value("SELECT count(*) FROM history WHERE (step, token) = (?, ?)", *step))
