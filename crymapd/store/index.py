"""`index.db`: what can be read out of the messages again, kept ready. It may be deleted at any time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import brotli

from crymapd import log
from crymapd.crypto.secret import Secret, derive
from crymapd.errors import Damaged, NewerStore, StoreBusy
from crymapd.mime.summary import Summary
from crymapd.mime.text import Folded
from crymapd.model.sequence import ranges_of
from crymapd.store.database import Database
from crymapd.store.layout import Layout
from crymapd.store.meta import Meta, Step
from crymapd.unix import files

_KEY_LABEL = "index.db"
_TABLES = ("headers", "rendered", "fields", "texts")
RENDERED = ("envelope", "body", "structure", "preview", "fields")
_FOR_UTF8 = {name: f"coalesce({name}8, {name})" for name in RENDERED[:3]}
MAX_KEPT_TEXT = 256 * 1024
"""Longer texts are found through their words, but read from the message."""
_MAX_TRIGRAMS = 40
_MAX_VARIED = 150_000
_OF_PROSE = 0.25
"""Characters that begin a trigram not seen before: at most in prose; base64 has three times as many, and takes SQLite
twenty times as long. So many beyond that take about half a second."""
_SAMPLES, _SAMPLE = 16, 2_048
BUSY_SECONDS = 5.0
"""How long to wait for another process; nobody needs the index so much that it would be longer."""
_LEFT_ALONE = 30.0
"""Seconds without another attempt, where that was in vain."""


class Index:
    """Headers, answers and texts by message id. Every failure here is repaired by starting anew, never shown."""

    def __init__(self, layout: Layout, master: Secret, meta: Meta) -> None:
        """Of the messages whose ids `meta` has given out."""
        self._layout = layout
        self._lock = layout.tmp / "index-open.lock"  # around what makes or removes the file and its logs
        self._key = derive(master, _KEY_LABEL)
        self._meta = meta
        self._inode = 0
        self._opened: Database | None = None
        self._ours: Step = (-1, b"")
        self._alone_until = 0.0
        self._told = False

    @property
    def _db(self) -> Database:
        """Opened when it is first needed: many sessions never do."""
        if self._opened is None:
            with files.locked(self._lock, wait=BUSY_SECONDS) as mine:
                if not mine:
                    raise StoreBusy(f"{self._lock.name}: another process holds it")
                self._opened = self._open()
        return self._opened

    def _open(self) -> Database:
        if not self._layout.index.exists():
            self._remove()  # a log of a file that was deleted
        try:
            database = self._database()
        except (Damaged, NewerStore) as error:
            log.index_rebuilt(str(error))
            self._remove()
            database = self._database()
        self._inode = os.stat(self._layout.index).st_ino
        return database

    def _database(self) -> Database:
        return Database(self._layout.index, self._key, "index", durable=False, busy_seconds=BUSY_SECONDS)

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            files.remove(self._layout.home / f"index.db{suffix}")

    def _replace(self, reason: str) -> None:
        """The opened file is damaged: away with it, unless another session has done that."""
        self.rest()
        with suppress(OSError), files.locked(self._lock, wait=BUSY_SECONDS) as mine:
            if mine and self._is_there():
                log.index_rebuilt(reason)
                self._remove()

    def _is_there(self) -> bool:
        """Whether the file that was opened last still has its name."""
        try:
            return os.stat(self._layout.index).st_ino == self._inode
        except FileNotFoundError:
            return False

    def _attempt(self, action: Callable[[Database], None], *, write: bool = False) -> bool:
        """Run it in one transaction of the file, if its ids are ours: whether it was done."""
        last = self._meta.last_step() if write else None
        others: list[Step] = []

        def run(db: Database) -> None:
            with db.write() if write else db.read():
                step = _step(db)
                if step != self._ours:
                    others.append(step)
                    return
                action(db)
                if last is not None and last[0] > step[0]:
                    db.execute("UPDATE progress SET step = ?, token = ?", last)

        for _turn in range(3):
            others.clear()
            if not self._guarded(run, write=write):
                return False
            if not others:
                self._ours = last if last is not None and last[0] > self._ours[0] else self._ours
                return True
            if not self._adopt(others[0]):
                return False
        return False  # another session, whose meta.db was taken away, fills it with other ids meanwhile

    def _adopt(self, step: Step) -> bool:
        """The file was last filled at that step: empty it unless its ids are ours; False when it could not be done.

        Where an older `meta.db` was put back, it has given the ids to other messages since, or will.
        """
        if self._meta.has_step(step):
            self._ours = step
            return True
        last = self._meta.last_step()

        def clear(db: Database) -> None:
            with db.write():
                if _step(db) == step:
                    for table in (*_TABLES, "words", "unindexed"):
                        db.execute(f"DELETE FROM {table}")
                    db.execute(
                        "UPDATE progress SET complete = 0, step = ?, token = ?, incarnation = randomblob(8)", last
                    )

        return self._guarded(clear, write=True)

    def _guarded(self, action: Callable[[Database], None], *, write: bool) -> bool:
        """Run it on the opened file: whether it was done. A damaged file is replaced by an empty one.

        What is not there then is made again when it is asked for.
        """
        try:
            if not self._is_there():
                self.rest()
            if (write or self._opened is None) and time.monotonic() < self._alone_until:
                return False
            action(self._db)
        except Damaged as error:
            self._replace(str(error))
        except StoreBusy as error:
            self._alone_until = time.monotonic() + _LEFT_ALONE
            self.not_used(str(error))
        except OSError as error:
            self.not_used(error.strerror or str(error))
        else:
            return True
        return False

    def not_used(self, reason: str) -> None:
        """Told once in a session."""
        if not self._told:
            log.index_not_used(reason)
        self._told = True

    def _write(self, action: Callable[[Database], None]) -> bool:
        """`_attempt` of what puts ids in."""
        return self._attempt(action, write=True)

    # Keeping

    def put(self, summaries: Iterable[tuple[int, Summary]]) -> bool:
        """Keep headers and answers of messages; False when it could not be done."""
        rows = [(number, summary.header, summary.fields, _row(number, summary)) for number, summary in summaries]

        def insert(db: Database) -> None:
            db.executemany("INSERT OR REPLACE INTO headers VALUES (?, ?)", (row[:2] for row in rows))
            db.executemany("INSERT OR REPLACE INTO fields VALUES (?, ?)", (row[:3:2] for row in rows))
            query = "INSERT OR REPLACE INTO rendered VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            db.executemany(query, (row[3] for row in rows))

        return not rows or self._write(insert)

    def put_texts(self, texts: Iterable[tuple[int, Folded]]) -> bool:
        """Keep what SEARCH looks into; False when it could not be done. What would take too long is read each time."""
        rows = [(number, *_packed(folded)) for number, folded in texts]

        def insert(db: Database) -> None:
            for number, words, kept in rows:
                if _is_varied(words):
                    db.execute("INSERT OR IGNORE INTO unindexed VALUES (?)", (number,))
                    continue
                db.execute("INSERT OR REPLACE INTO words (rowid, folded) VALUES (?, ?)", (number, words))
                db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (number, kept))
                db.execute("DELETE FROM unindexed WHERE message = ?", (number,))

        return not rows or self._write(insert)

    def forget(self, numbers: Iterable[int], *, purged: bool = True) -> None:
        """Drop what is known of messages; those not `purged` are read by each search from now on."""
        rows = [(number,) for number in numbers]
        last = "DELETE FROM unindexed WHERE message = ?" if purged else "INSERT OR IGNORE INTO unindexed VALUES (?)"

        def delete(db: Database) -> None:
            for table in _TABLES:
                db.executemany(f"DELETE FROM {table} WHERE message = ?", rows)
            db.executemany("DELETE FROM words WHERE rowid = ?", rows)
            db.executemany(last, rows)

        if rows:
            self._write(delete)

    # Asking

    def headers(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Those of the asked header blocks that are there."""
        return dict(self._select("headers", ("header",), numbers))

    def rendered(
        self, numbers: Iterable[int], names: Sequence[str], *, utf8: bool
    ) -> dict[int, tuple[bytes | None, ...]]:
        """Of the asked messages those that are there: the values of `names`, some of RENDERED, in that order."""
        columns = [_FOR_UTF8.get(name, name) if utf8 else name for name in names if name != "fields"]
        found = {row[0]: row[1:] for row in self._select("rendered", columns, numbers)} if columns else {}
        if "fields" not in names:
            return found
        at, fields = names.index("fields"), dict(self._select("fields", ("fields",), numbers))
        if not columns:
            return {number: (value,) for number, value in fields.items()}
        return {n: (*row[:at], fields[n], *row[at:]) for n, row in found.items() if n in fields}

    def texts(self, numbers: Iterable[int]) -> dict[int, Folded]:
        """Those of the asked texts that are there."""
        return {
            number: Folded(*brotli.decompress(packed).decode("utf-8", "replace").split("\0"))
            for number, packed in self._select("texts", ("folded",), numbers)
            if packed is not None
        }

    def indexed(self, numbers: Iterable[int]) -> set[int]:
        """Which of the asked messages `candidates` knows."""
        return {number for (number,) in self._select("texts", (), numbers)}

    def _select(self, table: str, columns: Sequence[str], numbers: Iterable[int]) -> list[Any]:
        found: list[list[Any]] = []
        query = f"SELECT {', '.join(('message', *columns))} FROM {table} WHERE message BETWEEN ? AND ?"

        def select(db: Database) -> None:
            for low, high in ranges_of(sorted(numbers)):
                found.append(db.execute(query, (low, high)).fetchall())

        self._attempt(select)
        return list(chain.from_iterable(found))

    def candidates(self, wanted: str) -> set[int] | None:
        """The messages that may hold a folded text, among those indexed; None where the index cannot tell."""
        trigrams = dict.fromkeys(wanted[at : at + 3] for at in range(len(wanted) - 2))
        if not trigrams:
            return None
        query = " AND ".join('"' + text.replace('"', '""') + '"' for text in list(trigrams)[:_MAX_TRIGRAMS])
        found: set[int] = set()

        def match(db: Database) -> None:
            found.update(row[0] for row in db.execute("SELECT rowid FROM words WHERE words MATCH ?", (query,)))

        return found if self._attempt(match) else None

    # How far it has come

    def incarnation(self) -> bytes | None:
        """Another one whenever the tables were emptied; None where that cannot be told."""
        found: bytes | None = self._progress("incarnation")
        return found

    def complete(self) -> int:
        """Messages up to this id are indexed, or in `unindexed`."""
        return self._progress("complete") or 0

    def _progress(self, column: str) -> Any:
        found: list[Any] = []
        done = self._attempt(lambda db: found.append(db.value(f"SELECT {column} FROM progress")))
        return found[0] if done else None

    def set_complete(self, number: int, unindexed: Iterable[int], incarnation: bytes | None) -> bool:
        """In that incarnation all up to `number` were looked at; those `unindexed` cannot be indexed.

        False when it could not be written.
        """
        rows = [(message,) for message in unindexed]

        def update(db: Database) -> None:
            if db.value("SELECT incarnation FROM progress") == incarnation:
                db.executemany("INSERT OR IGNORE INTO unindexed VALUES (?)", rows)
                db.execute("UPDATE progress SET complete = max(complete, ?)", (number,))

        return self._write(update)

    def unindexed(self) -> set[int] | None:
        """Messages that each search must read; None where the index cannot tell."""
        found: set[int] = set()

        def select(db: Database) -> None:
            found.update(row[0] for row in db.execute("SELECT message FROM unindexed"))

        return found if self._attempt(select) else None

    def rest(self) -> None:
        """Close the file until it is needed again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _packed(texts: Folded) -> tuple[str, bytes | None]:
    """What the words are taken from, and the texts as they are kept (None where they are too long)."""
    pieces = (texts.header, texts.raw, texts.parts, texts.bodies)
    kept = None
    if texts.size <= MAX_KEPT_TEXT:
        kept = brotli.compress("\0".join(pieces).encode(), quality=4)
    return "\n".join(pieces), kept


def _is_varied(text: str) -> bool:
    """Whether it has more trigrams than a client should wait for; judged by samples."""
    if len(text) <= _MAX_VARIED:
        return False
    step = len(text) // _SAMPLES
    found = {text[at : at + 3] for low in range(0, len(text), step) for at in range(low, low + _SAMPLE)}
    return (len(found) / (_SAMPLES * _SAMPLE) - _OF_PROSE) * len(text) > _MAX_VARIED


def _step(db: Database) -> Step:
    found: Step = db.execute("SELECT step, token FROM progress").fetchone()
    return found


def _row(number: int, summary: Summary) -> tuple[object, ...]:
    plain, utf8 = summary.ascii, summary.utf8
    differing = (utf8.envelope, utf8.body, utf8.structure) if utf8 != plain else (None, None, None)
    return (number, plain.envelope, plain.body, plain.structure, *differing, summary.preview.encode())
