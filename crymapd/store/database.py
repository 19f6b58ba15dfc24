"""An encrypted SQLite database: opening, migrations, transactions. No other module uses apsw.

SQLite3 Multiple Ciphers encrypts each page with ChaCha20-Poly1305 under a raw key; changes go through a
write-ahead log.
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
from crymapd.errors import ConfigError, Damaged, NewerStore, StoreBusy
from crymapd.unix import files

_CACHE_KIB = 1024
_CORRUPT = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
Bindings = Sequence[Any] | Mapping[str, Any]
_OLDEST_LIBRARY = (2, 6, 1)
"""Older versions keep their random state across fork, so that sibling processes encrypt different pages under one key
and nonce, which the pages then reveal."""
_GENERATION = 1
"""The `application_id` of a database whose pages were all encrypted by a library at least as new as that."""


def check_library(version: str) -> None:
    """Refuse a library that would give away what it encrypts, or would not even encrypt.

    Args:
        version: its name for itself, such as `SQLite3 Multiple Ciphers 2.6.1`; empty for an SQLite without ciphers.

    Raises:
        ConfigError: it is too old.
    """
    found = tuple(int(number) for number in version.rpartition(" ")[2].split(".") if number.isdigit())
    if found < _OLDEST_LIBRARY:
        oldest = ".".join(map(str, _OLDEST_LIBRARY))
        raise ConfigError(
            f"the library {version or 'apsw, which has no encryption,'} would not keep mail secret; "
            f"expected SQLite3 Multiple Ciphers {oldest} or newer: pip install 'apsw-sqlite3mc>=3.54'"
        )


check_library(getattr(apsw, "mc_version", ""))


def _scripts(schema: str) -> tuple[str, ...]:
    folder = resources.files("crymapd.store.schema")
    names = sorted(item.name for item in folder.iterdir() if item.name.startswith(schema + "-"))
    return tuple((folder / name).read_text() for name in names)


# Read when the module is imported, because a confined worker cannot read the program's own files.
_SCRIPTS = {schema: _scripts(schema) for schema in ("meta", "index")}


class Database:
    """One connection to a database."""

    def __init__(self, path: Path, key: Secret, schema: str, *, durable: bool, busy_seconds: float) -> None:
        """Open a database; create or migrate it if necessary.

        Args:
            path: the file.
            key: 32 octets.
            schema: names the scripts `schema/<schema>-NNN.sql` that create and migrate it, in order.
            durable: whether a committed transaction must survive a power cut.
            busy_seconds: how long each step waits for another process that holds the database.

        Raises:
            Damaged: it is not a database under this key, or its pages were altered.
            NewerStore: a newer program wrote it.
            StoreBusy: another process holds it.
            OSError: it cannot be opened or written.
        """
        self.path = path
        # SQLite would apply the umask. It gives the mode of this file to the log and the shared memory as well.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE))
        with _translated(path.name):
            self._connection = apsw.Connection(str(path))
            try:
                self._prepare(key, durable, busy_seconds)
                self._migrate(schema)
            except BaseException:
                self._connection.close()
                raise
        self.on_damage: Callable[[], None] = _nothing
        """Called when a page turns out to be damaged, before Damaged is raised."""

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
            if version == 0:
                self._connection.execute(f"PRAGMA application_id = {_GENERATION}")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").get)

    @property
    def may_repeat_nonces(self) -> bool:
        """Whether some pages were perhaps encrypted by a library that used nonces twice (`check_library`)."""
        return int(self._connection.execute("PRAGMA application_id").get) < _GENERATION

    def encrypt_again(self) -> None:
        """Encrypt every page under a new nonce. The whole database is copied to memory on the way.

        Raises:
            Damaged, StoreBusy, OSError.
        """
        with _translated(self.path.name):
            self._connection.execute("VACUUM")
            is_busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get[0]
            if is_busy:  # old pages are still in the log
                raise StoreBusy(f"{self.path.name}: another process reads it")
            self._connection.execute(f"PRAGMA application_id = {_GENERATION}")

    def execute(self, query: str, arguments: Bindings = ()) -> Rows:
        """Run one statement. Raises Damaged, StoreBusy, OSError."""
        try:
            return Rows(self, self._connection.execute(query, arguments))
        except apsw.Error as error:
            raise self.reason_for(error) from error

    def executemany(self, query: str, arguments: Iterable[Bindings]) -> None:
        """Run one statement for each of the arguments. Raises Damaged, StoreBusy, OSError."""
        try:
            self._connection.executemany(query, arguments)
        except apsw.Error as error:
            raise self.reason_for(error) from error

    def reason_for(self, error: apsw.Error) -> Exception:
        """Translate an exception of SQLite into a reason, and report damage."""
        reason = _reason(error, self.path.name)
        if isinstance(reason, Damaged):
            self.on_damage()
        return reason

    @contextmanager
    def write(self) -> Iterator[None]:
        """Run the block in one write transaction: commit it at the end, roll it back after any exception."""
        with _translated(self.path.name):
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
        """Let all queries of the block see the same snapshot."""
        with _translated(self.path.name):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    def value(self, query: str, *arguments: object) -> Any:
        """Return the first column of the first row, or None if there is no row."""
        row = self.execute(query, arguments).fetchone()
        return None if row is None else row[0]

    def last_id(self) -> int:
        """Return the id of the row that this connection inserted last."""
        return int(self._connection.last_insert_rowid())

    def copy_to(self, target: Path, key: Secret) -> None:
        """Write a consistent copy that needs no write-ahead log; `key` must be the key of this database.

        Raises:
            Damaged, StoreBusy, OSError.
        """
        with _translated(self.path.name):
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
        """Check that every page authenticates and that the structure is sound. Raises StoreBusy, OSError."""
        with _translated(self.path.name):
            try:
                return bool(self._connection.execute("PRAGMA quick_check").get == "ok")
            except _CORRUPT:
                return False

    def release_memory(self) -> None:
        """Drop the page cache."""
        with _translated(self.path.name):
            self._connection.execute("PRAGMA shrink_memory")

    def close(self) -> None:
        with _translated(self.path.name):
            self._connection.close()


class Rows:
    """The result of a query. Its rows are untyped tuples; whoever reads them gives them types."""

    __slots__ = ("_cursor", "_database")

    def __init__(self, database: Database, cursor: apsw.Cursor) -> None:
        self._database = database
        self._cursor = cursor

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._cursor
        except apsw.Error as error:
            raise self._database.reason_for(error) from error

    def fetchall(self) -> Any:
        try:
            return self._cursor.fetchall()
        except apsw.Error as error:
            raise self._database.reason_for(error) from error

    def fetchone(self) -> Any:
        try:
            return self._cursor.fetchone()
        except apsw.Error as error:
            raise self._database.reason_for(error) from error


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Translate the exceptions of SQLite into reasons, so that no other module meets an apsw.Error."""
    try:
        yield
    except apsw.Error as error:
        raise _reason(error, name) from error


def _reason(error: apsw.Error, name: str) -> Exception:
    """Translate an exception of SQLite; one that only a bug can cause is returned as it is."""
    if isinstance(error, _CORRUPT):
        return Damaged(f"{name}: {error}")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StoreBusy(f"{name}: another process holds it")
    if isinstance(error, (apsw.NoMemError, apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError)):
        return OSError(f"{name}: {error}")
    return error


def _nothing() -> None:
    """Do nothing, as nobody has asked to be told of damage yet."""
