"""`index.db`: what can be read out of the messages again, kept ready. It may be deleted at any time.

Every failure here is repaired by starting anew, and never shown to a client: what the index cannot tell is read
from the messages, which only takes longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import brotli
import msgspec

from crymapd import log
from crymapd.crypto.secret import Secret, derive
from crymapd.errors import Damaged, NewerStore, StoreBusy
from crymapd.mime.text import SearchTexts
from crymapd.model.numbers import MessageId
from crymapd.model.sequence import ranges_of
from crymapd.store.database import Database
from crymapd.store.history import History, Step
from crymapd.store.layout import Layout
from crymapd.store.summary import Summary
from crymapd.unix import files

_KEY_LABEL = "index.db"
_TABLES = ("headers", "rendered", "fields", "texts")
ANSWERS = ("envelope", "body", "structure", "preview", "fields")
"""The names of the answers that are kept (`summary.Prepared`, and the preview)."""
_FOR_UTF8 = {name: f"coalesce({name}8, {name})" for name in ANSWERS[:3]}
MAX_KEPT_TEXT = 256 * 1024
"""Longer texts are found through their words, but read from the message."""
_PACKED = tuple[str, str, str, str]
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
    """Headers, answers and texts by message id."""

    def __init__(self, layout: Layout, master: Secret, history: History) -> None:
        """Do not open it yet; `history` says what message ids mean."""
        self._layout = layout
        self._lock = layout.tmp / "index-open.lock"  # around what makes or removes the file and its logs
        self._key = derive(master, _KEY_LABEL)
        self._history = history
        self._inode = 0
        self._opened: Database | None = None
        self._ours = Step(-1, b"")
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
        """Run it in one transaction of the file, if the file's message ids are ours; return whether it was done."""
        last = self._history.last_step() if write else None
        others: list[Step] = []

        def run(db: Database) -> None:
            with db.write() if write else db.read():
                step = _step(db)
                if step != self._ours:
                    others.append(step)
                    return
                action(db)
                if last is not None and last.number > step.number:
                    db.execute("UPDATE progress SET step = ?, token = ?", last)

        for _turn in range(3):
            others.clear()
            if not self._guarded(run, write=write):
                return False
            if not others:
                self._ours = last if last is not None and last.number > self._ours.number else self._ours
                return True
            if not self._adopt(others[0]):
                return False
        return False  # another session, whose meta.db was taken away, fills it with other ids meanwhile

    def _adopt(self, step: Step) -> bool:
        """Empty a file that was last filled at that step, unless its ids are ours; False when it could not be done.

        Where an older `meta.db` was put back, it has given the ids to other messages since, or will.
        """
        if self._history.has_step(step):
            self._ours = step
            return True
        last = self._history.last_step()

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
        """Run it on the opened file and return whether it was done; a damaged file is replaced by an empty one.

        What is missing then is made again when it is asked for.
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
        """Log once in a session that the index cannot be used."""
        if not self._told:
            log.index_not_used(reason)
        self._told = True

    def _write(self, action: Callable[[Database], None]) -> bool:
        """Run in one transaction what puts message ids in."""
        return self._attempt(action, write=True)

    # Keeping

    def put(self, summaries: Iterable[tuple[MessageId, Summary]]) -> bool:
        """Keep headers and answers of messages; False when it could not be done."""
        kept = list(summaries)

        def insert(db: Database) -> None:
            headers = ((message, summary.header) for message, summary in kept)
            db.executemany("INSERT OR REPLACE INTO headers VALUES (?, ?)", headers)
            fields = ((message, summary.prepared.fields) for message, summary in kept)
            db.executemany("INSERT OR REPLACE INTO fields VALUES (?, ?)", fields)
            query = "INSERT OR REPLACE INTO rendered VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            db.executemany(query, (_rendered_row(message, summary) for message, summary in kept))

        return not kept or self._write(insert)

    def put_texts(self, texts: Iterable[tuple[MessageId, SearchTexts]]) -> bool:
        """Keep what SEARCH looks into; False when it could not be done. What would take too long is read each time."""
        rows = [(message, *_packed(its_texts)) for message, its_texts in texts]

        def insert(db: Database) -> None:
            for message, words, kept in rows:
                if _is_varied(words):
                    db.execute("INSERT OR IGNORE INTO unindexed VALUES (?)", (message,))
                    continue
                db.execute("INSERT OR REPLACE INTO words (rowid, folded) VALUES (?, ?)", (message, words))
                db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (message, kept))
                db.execute("DELETE FROM unindexed WHERE message = ?", (message,))

        return not rows or self._write(insert)

    def forget(self, messages: Iterable[MessageId], *, purged: bool = True) -> None:
        """Drop what is known of messages; those not `purged` are read by each search from now on."""
        rows = [(message,) for message in messages]
        last = "DELETE FROM unindexed WHERE message = ?" if purged else "INSERT OR IGNORE INTO unindexed VALUES (?)"

        def delete(db: Database) -> None:
            for table in _TABLES:
                db.executemany(f"DELETE FROM {table} WHERE message = ?", rows)
            db.executemany("DELETE FROM words WHERE rowid = ?", rows)
            db.executemany(last, rows)

        if rows:
            self._write(delete)

    # Asking

    def headers(self, messages: Iterable[MessageId]) -> dict[MessageId, bytes]:
        """The header blocks of those messages that are there."""
        return dict(self._select("headers", ("header",), messages))

    def answers(
        self, messages: Iterable[MessageId], names: Sequence[str], *, utf8: bool
    ) -> dict[MessageId, tuple[bytes | None, ...]]:
        """For those messages that are there, the answers of these names (some of ANSWERS), in their order."""
        columns = [_FOR_UTF8.get(name, name) if utf8 else name for name in names if name != "fields"]
        rows = self._select("rendered", columns, messages) if columns else []
        answers: dict[MessageId, tuple[bytes | None, ...]] = {message: tuple(values) for message, *values in rows}
        if "fields" not in names:
            return answers
        at, fields = names.index("fields"), dict(self._select("fields", ("fields",), messages))
        if not columns:
            return {message: (value,) for message, value in fields.items()}
        return {m: (*row[:at], fields[m], *row[at:]) for m, row in answers.items() if m in fields}

    def texts(self, messages: Iterable[MessageId]) -> dict[MessageId, SearchTexts]:
        """The texts of those messages of which they are kept."""
        return {
            message: SearchTexts(*msgspec.msgpack.decode(brotli.decompress(packed), type=_PACKED))
            for message, packed in self._select("texts", ("folded",), messages)
            if packed is not None
        }

    def indexed(self, messages: Iterable[MessageId]) -> set[MessageId]:
        """Which of these messages `candidates` knows."""
        return {message for (message,) in self._select("texts", (), messages)}

    def _select(self, table: str, columns: Sequence[str], messages: Iterable[MessageId]) -> list[Any]:
        rows: list[list[Any]] = []
        query = f"SELECT {', '.join(('message', *columns))} FROM {table} WHERE message BETWEEN ? AND ?"

        def select(db: Database) -> None:
            for low, high in ranges_of(sorted(messages)):
                rows.append(db.execute(query, (low, high)).fetchall())

        self._attempt(select)
        return list(chain.from_iterable(rows))

    def candidates(self, wanted: str) -> set[MessageId] | None:
        """The indexed messages that may hold a text in search form; None where the index cannot tell."""
        trigrams = dict.fromkeys(wanted[at : at + 3] for at in range(len(wanted) - 2))
        if not trigrams:
            return None
        query = " AND ".join('"' + text.replace('"', '""') + '"' for text in list(trigrams)[:_MAX_TRIGRAMS])
        candidates: set[MessageId] = set()

        def match(db: Database) -> None:
            rows = db.execute("SELECT rowid FROM words WHERE words MATCH ?", (query,))
            candidates.update(message for (message,) in rows)

        return candidates if self._attempt(match) else None

    # How far it has come

    def incarnation(self) -> bytes | None:
        """A token that is another one whenever the tables were emptied; None where it cannot be read."""
        incarnation: bytes | None = self._progress("incarnation")
        return incarnation

    def complete(self) -> MessageId:
        """The id up to which all messages are indexed, or in `unindexed`; 0 where that cannot be read."""
        return MessageId(self._progress("complete") or 0)

    def _progress(self, column: str) -> Any:
        values: list[Any] = []
        done = self._attempt(lambda db: values.append(db.value(f"SELECT {column} FROM progress")))
        return values[0] if done else None

    def set_complete(self, message: MessageId, unindexed: Iterable[MessageId], incarnation: bytes | None) -> bool:
        """Note that in this incarnation all messages up to one were looked at, and which of them cannot be indexed.

        False when it could not be written.
        """
        rows = [(unreadable,) for unreadable in unindexed]

        def update(db: Database) -> None:
            if db.value("SELECT incarnation FROM progress") == incarnation:
                db.executemany("INSERT OR IGNORE INTO unindexed VALUES (?)", rows)
                db.execute("UPDATE progress SET complete = max(complete, ?)", (message,))

        return self._write(update)

    def unindexed(self) -> set[MessageId] | None:
        """The messages that each search must read; None where the index cannot tell."""
        unindexed: set[MessageId] = set()

        def select(db: Database) -> None:
            unindexed.update(message for (message,) in db.execute("SELECT message FROM unindexed"))

        return unindexed if self._attempt(select) else None

    def rest(self) -> None:
        """Close the file until it is needed again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _packed(texts: SearchTexts) -> tuple[str, bytes | None]:
    """What the words are taken from, and the texts as they are kept (None where they are too long)."""
    kept = None
    if texts.size <= MAX_KEPT_TEXT:
        pieces = (texts.header, texts.forms, texts.parts, texts.bodies)
        kept = brotli.compress(msgspec.msgpack.encode(pieces), quality=4)
    return texts.words, kept


def _is_varied(text: str) -> bool:
    """Whether it has more trigrams than a client should wait for; judged by samples."""
    if len(text) <= _MAX_VARIED:
        return False
    step = len(text) // _SAMPLES
    found = {text[at : at + 3] for low in range(0, len(text), step) for at in range(low, low + _SAMPLE)}
    return (len(found) / (_SAMPLES * _SAMPLE) - _OF_PROSE) * len(text) > _MAX_VARIED


def _step(db: Database) -> Step:
    return Step(*db.execute("SELECT step, token FROM progress").fetchone())


def _rendered_row(message: MessageId, summary: Summary) -> tuple[object, ...]:
    """A row of the table `rendered`, in the order of its columns."""
    answers = summary.prepared
    plain = (answers.envelope, answers.body, answers.structure)
    return message, *plain, answers.envelope8, answers.body8, answers.structure8, summary.preview.encode()
