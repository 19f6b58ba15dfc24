"""Opening `meta.db`: if it is damaged, it is put aside, and the newest usable backup takes its place."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from crymapd import log
from crymapd.crypto.secret import Secret
from crymapd.errors import Damaged, StoreBusy
from crymapd.store.database import Database
from crymapd.store.layout import Layout
from crymapd.unix import files

BUSY_SECONDS = 20.0
"""How long opening and changing the database wait for other processes."""


class MetaFile:
    """The file of the database, and its backups."""

    def __init__(self, layout: Layout, key: Secret) -> None:
        self._layout = layout
        self._key = key

    def open(self) -> Database:
        """Open the database; if it is damaged or missing, restore the newest usable backup, or begin an empty one.

        Raises:
            NewerStore, StoreBusy, OSError.
        """
        with files.locked(self._layout.lock, wait=BUSY_SECONDS) as has_lock:
            if not has_lock:
                raise StoreBusy(f"{self._layout.lock.name}: another process holds it")
            meta = self._layout.meta
            if not meta.exists() or not meta.stat().st_size:
                self._start_over("it was missing or empty")
            elif self._suspect.exists() and not self._is_usable(meta):
                self._put_aside("its pages do not authenticate")
            files.remove(self._suspect)
            try:
                database = self._connect(meta)
            except Damaged as error:
                self._put_aside(str(error))
                database = self._connect(meta)
            if database.may_repeat_nonces:
                self._encrypt_again(database)
            return database

    def _encrypt_again(self, database: Database) -> None:
        """Encrypt the database and its backups again, once; what fails now is tried at the next login."""
        try:
            for backup in backups(self._layout):
                if self._is_usable(backup):
                    self._encrypt_backup_again(backup)
            database.encrypt_again()
        except (Damaged, StoreBusy, OSError) as error:
            log.not_encrypted_again(str(error))
        else:
            log.encrypted_again()

    def _encrypt_backup_again(self, path: Path) -> None:
        backup = self._connect(path)
        try:
            with files.Staged(self._layout.tmp) as staged:
                backup.copy_to(staged.path, self._key)
                staged.publish(path, replace=True)
        finally:
            backup.close()

    def _connect(self, path: Path) -> Database:
        return Database(path, self._key, "meta", durable=True, busy_seconds=BUSY_SECONDS)

    def _put_aside(self, reason: str) -> None:
        log.database_put_aside("meta.db", reason)
        self._start_over(reason)

    def _start_over(self, reason: str) -> None:
        """Put aside what is there of the database, and put the newest usable backup in its place."""
        begin_recovery(self._layout)
        stamp = str(int(time.time()))
        for suffix in ("", "-wal", "-shm", "-journal"):
            path = self._layout.home / f"meta.db{suffix}"
            if path.exists():
                self._layout.put_aside(path, stamp)
        for backup in backups(self._layout):
            if self._is_usable(backup):
                with files.Staged(self._layout.tmp) as staged:
                    staged.write(backup.read_bytes())
                    staged.publish(self._layout.meta, replace=True)
                log.database_restored(f"backup/{backup.name}")
                return
        if self._layout.epoch.exists():
            log.database_restored(f"nothing ({reason}; no usable backup)")

    def _is_usable(self, path: Path) -> bool:
        try:
            database = self._connect(path)
        except (Damaged, StoreBusy, OSError):
            return False
        try:
            return database.intact()
        finally:
            database.close()

    # Damage that is met while the database is open

    @property
    def _suspect(self) -> Path:
        return self._layout.tmp / "meta.db.suspect"

    def mark_damaged(self) -> None:
        """Note that pages turned out to be damaged, so that the next process that opens the file checks all pages.

        If even that cannot be written, whoever meets the damage next tries again.
        """
        with suppress(OSError):
            files.write_atomic(self._layout.tmp, self._suspect, b"", replace=True)


def begin_recovery(layout: Layout) -> None:
    """Note on disk that there may be orphans, so that filing them is not forgotten after a crash."""
    files.write_atomic(layout.tmp, layout.recovering, b"", replace=True)


def backups(layout: Layout) -> list[Path]:
    """Return the backups of meta.db, the newest first."""
    copies = [p for p in layout.backup.glob("meta.db.*") if p.suffix[1:].replace("-", "").isdigit()]
    return sorted(copies, reverse=True)
