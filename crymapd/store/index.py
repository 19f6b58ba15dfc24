"""`index.db`: what can be read out of the messages again, kept ready. It may be deleted at any time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from crymapd.crypto.secret import Secret, derive
from crymapd.errors import Damaged, StoreBusy
from crymapd.mime.summary import Rendered, Summary
from crymapd.store import events
from crymapd.store.database import Database
from crymapd.store.layout import Layout
from crymapd.unix import files

_KEY_LABEL = "index.db"
_COLUMNS = "header, envelope, body, structure, envelope8, body8, structure8, preview"


class Index:
    """Summaries by message id. Every failure here is repaired by starting anew, never shown."""

    def __init__(self, layout: Layout, master: Secret) -> None:
        self._layout = layout
        self._key = derive(master, _KEY_LABEL)
        self._inode = 0
        self._db = self._open()

    def _open(self) -> Database:
        try:
            database = Database(self._layout.index, self._key, "index", durable=False)
        except Damaged as error:
            self._remove(str(error))
            database = Database(self._layout.index, self._key, "index", durable=False)
        self._inode = os.stat(self._layout.index).st_ino
        return database

    def _remove(self, reason: str) -> None:
        events.index_rebuilt(reason)
        for suffix in ("", "-wal", "-shm"):
            files.remove(self._layout.home / f"index.db{suffix}")

    def _attempt(self, action: Callable[[], None]) -> None:
        """Run it; a damaged file is replaced by an empty one, a busy one is not waited for."""
        try:
            self._follow()
            action()
        except Damaged as error:
            self._db.close()
            self._remove(str(error))
            self._db = self._open()
        except (StoreBusy, OSError):
            pass  # the summary is made again when it is asked for

    def _follow(self) -> None:
        """Notice that the file was deleted or replaced under us."""
        try:
            same = os.stat(self._layout.index).st_ino == self._inode
        except FileNotFoundError:
            same = False
        if not same:
            self._db.close()
            for suffix in ("-wal", "-shm"):
                if not self._layout.index.exists():
                    files.remove(self._layout.home / f"index.db{suffix}")
            self._db = self._open()

    def put(self, summaries: Iterable[tuple[int, Summary]]) -> None:
        """Keep summaries of messages."""
        rows = [_row(number, summary) for number, summary in summaries]

        def insert() -> None:
            with self._db.write():
                self._db.executemany("INSERT OR REPLACE INTO parsed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

        self._attempt(insert)

    def get(self, numbers: Iterable[int]) -> dict[int, Summary]:
        """Those of the asked summaries that are there."""
        found: dict[int, Summary] = {}

        def select() -> None:
            with self._db.read():
                for number in numbers:
                    row = self._db.execute(f"SELECT {_COLUMNS} FROM parsed WHERE message = ?", (number,)).fetchone()
                    if row is not None:
                        found[number] = _summary(row)

        self._attempt(select)
        return found

    def forget(self, numbers: Iterable[int]) -> None:
        """Drop what is known of messages."""
        rows = [(number,) for number in numbers]

        def delete() -> None:
            with self._db.write():
                self._db.executemany("DELETE FROM parsed WHERE message = ?", rows)

        self._attempt(delete)

    def clear(self) -> None:
        """Drop everything: the database whose ids it used is another one now."""

        def delete() -> None:
            with self._db.write():
                self._db.execute("DELETE FROM parsed")

        self._attempt(delete)

    def known(self) -> Iterator[int]:
        for (number,) in self._db.execute("SELECT message FROM parsed"):
            yield int(number)

    def close(self) -> None:
        self._db.close()


def _row(number: int, summary: Summary) -> tuple[object, ...]:
    plain, utf8 = summary.ascii, summary.utf8
    differing = (utf8.envelope, utf8.body, utf8.structure) if utf8 != plain else (None, None, None)
    return (number, summary.header, plain.envelope, plain.body, plain.structure, *differing, summary.preview)


def _summary(row: tuple[Any, ...]) -> Summary:
    plain = Rendered(*row[1:4])
    return Summary(row[0], plain, plain if row[4] is None else Rendered(*row[4:7]), row[7])
