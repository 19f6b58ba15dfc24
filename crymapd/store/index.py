"""The index, `index.db`: what can be read out of the messages again, kept ready. It may be deleted at any time.

No client ever sees a failure of the index.  A damaged file is replaced by an empty one, and whatever the index cannot
tell is read from the messages, which only takes longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import brotli
import msgspec

from crymapd import log
from crymapd.crypto.secret import Secret, derive
from crymapd.errors import Damaged, NewerStore, StoreBusy
from crymapd.mime.text import SearchTexts
from crymapd.model.numbers import MessageId
from crymapd.store.database import Database
from crymapd.store.history import History, Step
from crymapd.store.layout import Layout
from crymapd.store.query_sets import message_set
from crymapd.store.summary import Summary
from crymapd.unix import files

_KEY_LABEL = "index.db"
_TABLES = ("headers", "rendered", "fields", "texts")
ANSWERS = ("envelope", "body", "structure", "preview", "fields")
"""The names of the prepared answers that are kept: those of `summary.Prepared`, and the preview."""
_FOR_UTF8 = {name: f"coalesce({name}8, {name})" for name in ANSWERS[:3]}
MAX_KEPT_TEXT = 256 * 1024
"""Characters. Of longer search texts only the trigrams are kept, and the text is read from the message."""
_PACKED = tuple[str, str, str, str]
_MAX_TRIGRAMS = 40
_PROSE_VARIETY = 0.25
"""New trigrams for each character of prose, at most. Base64 has three times as many and takes 20 times as long."""
_MAX_EXCESS = 150_000
"""How many new trigrams beyond those of prose a text may have; indexing so many takes about half a second."""
_SAMPLES, _SAMPLE = 16, 2_048
BUSY_SECONDS = 5.0
"""How long to wait for another process that holds the file; reading the messages is better than waiting longer."""
_LEFT_ALONE = 30.0
"""For how many seconds the file is left alone after waiting in vain."""


class Index:
    """Header blocks, prepared answers and search texts by message id."""

    def __init__(self, layout: Layout, master: Secret, history: History) -> None:
        """Prepare to open the file when it is first needed; `history` says what message ids mean."""
        self._layout = layout
        self._lock = layout.tmp / "index-open.lock"  # held while the file and its logs are created or removed
        self._key = derive(master, _KEY_LABEL)
        self._history = history
        self._inode = 0
        self._opened: Database | None = None
        self._ours = Step(-1, b"")  # the last step of the file that is known to be in our history
        self._alone_until = 0.0
        self._is_logged = False  # whether the log says already that the index is not used

    @property
    def _db(self) -> Database:
        """The database, opened when it is first needed; many sessions never need it."""
        if self._opened is None:
            with files.locked(self._lock, wait=BUSY_SECONDS) as has_lock:
                if not has_lock:
                    raise StoreBusy(f"{self._lock.name}: another process holds it")
                self._opened = self._open()
        return self._opened

    def _open(self) -> Database:
        if not self._layout.index.exists():
            self._remove()  # logs may remain of a file that was deleted
        try:
            database = self._database()
            if database.may_repeat_nonces:
                database.close()
                raise Damaged("an older version encrypted it badly")
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
        """Remove the opened file, which is damaged, unless another session has replaced it already."""
        self.rest()
        try:
            with files.locked(self._lock, wait=BUSY_SECONDS) as has_lock:
                if has_lock and self._is_there():
                    log.index_rebuilt(reason)
                    self._remove()
        except OSError as error:
            log.index_not_used(f"{reason}, and it cannot be replaced: {error}")

    def _is_there(self) -> bool:
        """Whether the file that was last opened still bears its name."""
        try:
            return os.stat(self._layout.index).st_ino == self._inode
        except FileNotFoundError:
            return False

    def _attempt(self, action: Callable[[Database], None], *, write: bool = False) -> bool:
        """Run an action in one transaction, provided that the file's message ids mean ours; return whether it ran."""
        last = self._history.last_step() if write else None
        foreign_steps: list[Step] = []

        def run(db: Database) -> None:
            with db.write() if write else db.read():
                step = _step(db)
                if step != self._ours:
                    foreign_steps.append(step)
                    return
                action(db)
                if last is not None and last.position > step.position:
                    db.execute("UPDATE progress SET step = ?, token = ?", last)

        for _turn in range(3):
            foreign_steps.clear()
            if not self._guarded(run, write=write):
                return False
            if not foreign_steps:
                self._ours = last if last is not None and last.position > self._ours.position else self._ours
                return True
            if not self._adopt(foreign_steps[0]):
                return False
        return False  # a session that still has a meta.db which was put aside keeps filling the file with its ids

    def _adopt(self, step: Step) -> bool:
        """Accept a file that was last filled at a step: empty it, unless the step is in our history.

        If it is not, an older `meta.db` was put back, in which the same ids mean other messages or will do so.

        Returns:
            False if the file could not be emptied.
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
        """Run an action on the file and return whether it ran; a damaged file is removed, and made anew later."""
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
        """Log, once in a session, that the index cannot be used."""
        if not self._is_logged:
            log.index_not_used(reason)
        self._is_logged = True

    def _write(self, action: Callable[[Database], None]) -> bool:
        """Run an action that writes message ids; return whether it ran."""
        return self._attempt(action, write=True)

    # Keeping

    def put(self, summaries: Iterable[tuple[MessageId, Summary]]) -> bool:
        """Keep header blocks and prepared answers; False if they could not be written."""
        pairs = list(summaries)

        def insert(db: Database) -> None:
            headers = ((message, summary.header) for message, summary in pairs)
            db.executemany("INSERT OR REPLACE INTO headers VALUES (?, ?)", headers)
            fields = ((message, summary.prepared.fields) for message, summary in pairs)
            db.executemany("INSERT OR REPLACE INTO fields VALUES (?, ?)", fields)
            query = "INSERT OR REPLACE INTO rendered VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            db.executemany(query, (_rendered_row(message, summary) for message, summary in pairs))

        return not pairs or self._write(insert)

    def put_texts(self, texts: Iterable[tuple[MessageId, SearchTexts]]) -> bool:
        """Keep search texts; False if they could not be written.

        A text that would take too long to index is noted as `unindexed`: each search reads its message.
        """
        rows = [(message, *_packed(search_texts)) for message, search_texts in texts]

        def insert(db: Database) -> None:
            for message, words, packed in rows:
                if _is_varied(words):
                    db.execute("INSERT OR IGNORE INTO unindexed VALUES (?)", (message,))
                    continue
                db.execute("INSERT OR REPLACE INTO words (rowid, folded) VALUES (?, ?)", (message, words))
                db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (message, packed))
                db.execute("DELETE FROM unindexed WHERE message = ?", (message,))

        return not rows or self._write(insert)

    def forget(self, messages: Iterable[MessageId], *, purged: bool = True) -> None:
        """Remove what is kept of messages; unless they were `purged`, each search reads them from now on."""
        rows = [(message,) for message in messages]
        mark = "DELETE FROM unindexed WHERE message = ?" if purged else "INSERT OR IGNORE INTO unindexed VALUES (?)"

        def delete(db: Database) -> None:
            for table in _TABLES:
                db.executemany(f"DELETE FROM {table} WHERE message = ?", rows)
            db.executemany("DELETE FROM words WHERE rowid = ?", rows)
            db.executemany(mark, rows)

        if rows:
            self._write(delete)

    # Asking

    def headers(self, messages: Iterable[MessageId]) -> dict[MessageId, bytes]:
        """Return the header blocks of those messages that have one here."""
        return dict(self._select("headers", ("header",), messages))

    def answers(
        self, messages: Iterable[MessageId], names: Sequence[str], *, utf8: bool
    ) -> dict[MessageId, tuple[bytes | None, ...]]:
        """Return prepared answers of those messages that have them here.

        Args:
            messages: the messages.
            names: the answers wanted, from ANSWERS.
            utf8: whether the client takes UTF-8.

        Returns:
            For each message a tuple in the order of `names`; its value is None if the answer is too long to be kept.
        """
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
        """Return the search texts of those messages whose texts are kept."""
        return {
            message: SearchTexts(*msgspec.msgpack.decode(brotli.decompress(packed), type=_PACKED))
            for message, packed in self._select("texts", ("folded",), messages)
            if packed is not None
        }

    def indexed(self, messages: Iterable[MessageId]) -> set[MessageId]:
        """Return those messages that are indexed, so that `candidates` can find them."""
        return {message for (message,) in self._select("texts", (), messages)}

    def _select(self, table: str, columns: Sequence[str], messages: Iterable[MessageId]) -> list[Any]:
        rows: list[Any] = []
        shown = ", ".join(("message", *columns))
        where, values = message_set("message", messages)
        query = f"SELECT {shown} FROM {table} WHERE {where}"
        self._attempt(lambda db: rows.extend(db.execute(query, values).fetchall()))
        return rows

    def candidates(self, wanted: str) -> set[MessageId] | None:
        """Return the indexed messages that may contain a text in search form; None if the index cannot tell."""
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
        """Return a token that changes whenever the tables are emptied; None if it cannot be read."""
        incarnation: bytes | None = self._progress("incarnation")
        return incarnation

    def complete(self) -> MessageId:
        """Return the id up to which every message is indexed or in `unindexed`; 0 if it cannot be read."""
        return MessageId(self._progress("complete") or 0)

    def _progress(self, column: str) -> Any:
        values: list[Any] = []
        was_read = self._attempt(lambda db: values.append(db.value(f"SELECT {column} FROM progress")))
        return values[0] if was_read else None

    def set_complete(self, message: MessageId, unindexed: Iterable[MessageId], incarnation: bytes | None) -> bool:
        """Note that every message up to this one was looked at, and which ones could not be indexed.

        Nothing is noted if the tables were emptied meanwhile, so that `incarnation` is no longer theirs.

        Returns:
            False if the file could not be written.
        """
        rows = [(unreadable,) for unreadable in unindexed]

        def update(db: Database) -> None:
            if db.value("SELECT incarnation FROM progress") == incarnation:
                db.executemany("INSERT OR IGNORE INTO unindexed VALUES (?)", rows)
                db.execute("UPDATE progress SET complete = max(complete, ?)", (message,))

        return self._write(update)

    def unindexed(self) -> set[MessageId] | None:
        """Return the messages that each search must read; None if the index cannot tell."""
        unindexed: set[MessageId] = set()

        def select(db: Database) -> None:
            unindexed.update(message for (message,) in db.execute("SELECT message FROM unindexed"))

        return unindexed if self._attempt(select) else None

    def rest(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _packed(texts: SearchTexts) -> tuple[str, bytes | None]:
    """Return the text to take trigrams from, and the compressed texts to keep (None if they are too long)."""
    packed = None
    if texts.size <= MAX_KEPT_TEXT:
        pieces = (texts.header, texts.forms, texts.parts, texts.bodies)
        packed = brotli.compress(msgspec.msgpack.encode(pieces), quality=4)
    return texts.words, packed


def _is_varied(text: str) -> bool:
    """Estimate from samples whether a text has so many different trigrams that a client would have to wait."""
    if len(text) <= _MAX_EXCESS:
        return False
    interval = len(text) // _SAMPLES
    trigrams = {text[at : at + 3] for low in range(0, len(text), interval) for at in range(low, low + _SAMPLE)}
    return (len(trigrams) / (_SAMPLES * _SAMPLE) - _PROSE_VARIETY) * len(text) > _MAX_EXCESS


def _step(db: Database) -> Step:
    return Step(*db.execute("SELECT step, token FROM progress").fetchone())


def _rendered_row(message: MessageId, summary: Summary) -> tuple[object, ...]:
    """Make a row of the table `rendered`, in the order of its columns."""
    answers = summary.prepared
    plain = (answers.envelope, answers.body, answers.structure)
    return message, *plain, answers.envelope8, answers.body8, answers.structure8, summary.preview.encode()
