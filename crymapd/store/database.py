"""An encrypted SQLite file: opening, migrations, transactions. The only module that knows apsw.

SQLite3 Multiple Ciphers, ChaCha20-Poly1305 per page under a raw key, write-ahead log.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import apsw

from crymapd.crypto.secret import Secret
from crymapd.errors import Damaged, NewerStore, StoreBusy
from crymapd.unix import files

_CACHE_KIB = 1024
CORRUPT = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
Bindings = Sequence[Any] | Mapping[str, Any]


def _scripts(schema: str) -> tuple[str, ...]:
    folder = resources.files("crymapd.store.schema")
    names = sorted(item.name for item in folder.iterdir() if item.name.startswith(schema + "-"))
    return tuple((folder / name).read_text() for name in names)


# Read at import: a confined worker cannot reach the program's own files.
_SCRIPTS = {schema: _scripts(schema) for schema in ("meta", "index")}


class Database:
    """One connection. `schema` names the ordered list `schema/<schema>-NNN.sql`."""

    def __init__(self, path: Path, key: Secret, schema: str, *, durable: bool, busy_seconds: float) -> None:
        """Open, create or migrate. Where another process holds it, each step waits for so long.

        Raises:
            Damaged: not a database under this key, or its pages are altered.
            NewerStore: written by a newer program.
            StoreBusy: another process holds it.
        """
        self.path = path
        # SQLite would create it as the umask says; its log and shared memory take the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE))
        with translated(path.name):
            self._connection = apsw.Connection(str(path))
            try:
                self._prepare(key, durable, busy_seconds)
                self._migrate(schema)
            except BaseException:
                self._connection.close()
                raise
        self.on_damage: Callable[[], None] = _nothing
        """Called when a page turns out not to be what was written, before Damaged is raised."""

    def _prepare(self, key: Secret, durable: bool, busy_seconds: float) -> None:
        connection = self._connection
        connection.set_busy_timeout(int(busy_seconds * 1000))
        connection.execute("PRAGMA cipher = 'chacha20'")
        connection.execute(f"PRAGMA key = 'raw:{key.reveal().hex()}'")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")

    def _migrate(self, schema: str) -> None:
        scripts = _SCRIPTS[schema]
        if self._version() == len(scripts):
            return
        with self.write():
            version = self._version()
            if version > len(scripts):
                raise NewerStore(f"has format {version}, not {len(scripts)}: upgrade crymapd", path=self.path)
            for script in scripts[version:]:
                self._connection.execute(script)
            self._connection.execute(f"PRAGMA user_version = {len(scripts)}")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").get)

    def execute(self, query: str, arguments: Bindings = ()) -> Rows:
        """Raises Damaged, StoreBusy, OSError."""
        try:
            return Rows(self, self._connection.execute(query, arguments))
        except apsw.Error as error:
            raise self.reason(error) from error

    def executemany(self, query: str, arguments: Iterable[Bindings]) -> None:
        """Raises Damaged, StoreBusy, OSError."""
        try:
            self._connection.executemany(query, arguments)
        except apsw.Error as error:
            raise self.reason(error) from error

    def reason(self, error: apsw.Error) -> Exception:
        """One of SQLite's reasons as one of ours; damage is noted."""
        found = _reason(error, self.path.name)
        if isinstance(found, Damaged):
            self.on_damage()
        return found

    @contextmanager
    def write(self) -> Iterator[None]:
        """One immediate transaction: committed at the end, rolled back by any exception."""
        with translated(self.path.name):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                files.checkpoint("commit")
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            files.checkpoint("committed")

    @contextmanager
    def read(self) -> Iterator[None]:
        """One snapshot for several queries."""
        with translated(self.path.name):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    def value(self, query: str, *arguments: object) -> Any:
        """The only column of the first row, or None."""
        row = self.execute(query, arguments).fetchone()
        return None if row is None else row[0]

    def changed_rows(self) -> int:
        return int(self._connection.changes())

    def last_id(self) -> int:
        return int(self._connection.last_insert_rowid())

    def copy_to(self, target: Path, key: Secret) -> None:
        """A consistent copy under the same key, complete in itself (no write-ahead log)."""
        copy = apsw.Connection(str(target))
        try:
            copy.execute("PRAGMA cipher = 'chacha20'")
            copy.execute(f"PRAGMA key = 'raw:{key.reveal().hex()}'")
            with copy.backup("main", self._connection, "main") as backup:
                while not backup.done:
                    backup.step(256)
            copy.execute("PRAGMA journal_mode = DELETE")
            copy.execute("UPDATE settings SET value = 1 WHERE name = 'is_copy'")
        finally:
            copy.close()

    def intact(self) -> bool:
        """Whether every page authenticates and the structure is sound."""
        try:
            return bool(self._connection.execute("PRAGMA quick_check").get == "ok")
        except CORRUPT:
            return False

    def release_memory(self) -> None:
        """Forget cached pages."""
        self._connection.execute("PRAGMA shrink_memory")

    def close(self) -> None:
        self._connection.close()


class Rows:
    """The answer to a query: tuples as the query says, typed where they are read."""

    __slots__ = ("_cursor", "_database")

    def __init__(self, database: Database, cursor: apsw.Cursor) -> None:
        self._database = database
        self._cursor = cursor

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._cursor
        except apsw.Error as error:
            raise self._database.reason(error) from error

    def fetchall(self) -> Any:
        try:
            return self._cursor.fetchall()
        except apsw.Error as error:
            raise self._database.reason(error) from error

    def fetchone(self) -> Any:
        try:
            return self._cursor.fetchone()
        except apsw.Error as error:
            raise self._database.reason(error) from error


@contextmanager
def translated(name: str) -> Iterator[None]:
    """SQLite's reasons as ours."""
    try:
        yield
    except apsw.Error as error:
        raise _reason(error, name) from error


def _reason(error: apsw.Error, name: str) -> Exception:
    """Ours for one of SQLite's; what only a mistake in the program can bring about stays as it is."""
    if isinstance(error, CORRUPT):
        return Damaged(f"{name}: {error}")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StoreBusy(f"{name}: another process holds it")
    if isinstance(error, (apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError)):
        return OSError(f"{name}: {error}")
    return error


def _nothing() -> None:
    """Before somebody wants to know of damage."""
