"""`meta.db` opened, repaired or restored, and the frame of every transaction on it."""

from __future__ import annotations

import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from crymapd import log
from crymapd.crypto.secret import Secret, derive
from crymapd.errors import Damaged, StoreBusy
from crymapd.model.flags import DELETED, SEEN, in_order
from crymapd.store.database import Database
from crymapd.store.layout import Layout
from crymapd.unix import files

_KEY_LABEL = "meta.db"
_EPOCH = struct.Struct(">QQQI")  # count of changes, octets and number of sealed files, CRC-32 of these 24 octets

_TOKEN_BYTES = 8
_REMEMBERED_STEPS = 1 << 16
BUSY_SECONDS = 20.0
"""How long a change waits for those of other sessions."""

Step = tuple[int, bytes]
"""A row of `history`."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the file `epoch` says of the database: how often it changed, what its message files take on disk."""

    changes: int
    octets: int
    files: int


def parse_epoch(content: bytes) -> Epoch | None:
    """None where it is empty or damaged."""
    if len(content) != _EPOCH.size:
        return None
    *numbers, check = _EPOCH.unpack(content)
    return Epoch(*numbers) if check == zlib.crc32(content[:-4]) else None


class Meta:
    """The metadata database with what all its tables share: counters, flag sets, keywords."""

    def __init__(self, layout: Layout, master: Secret) -> None:
        """Open it; put a damaged one aside and go on from the newest good backup.

        Raises:
            NewerStore, StoreBusy.
        """
        self.layout = layout
        self._key = derive(master, _KEY_LABEL)
        self._renumbered = False
        with files.locked(layout.lock):
            self.db = self._open()
        self._epoch_fd = os.open(
            layout.epoch, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE
        )
        self.db.on_damage = self.mark_damaged
        self._flagsets: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._notice_older()
        if not self.db.value("SELECT max(step) FROM history"):  # not by the schema: see note_step
            with self.change():
                self.note_step()

    @property
    def _suspect(self) -> Path:
        return self.layout.tmp / "meta.db.suspect"

    # Opening

    def _open(self) -> Database:
        if not self.layout.meta.exists() or not self.layout.meta.stat().st_size:
            self._start_over("is missing or empty")
        elif self._suspect.exists() and not self._usable(self.layout.meta):
            log.database_put_aside("meta.db", "its pages do not authenticate")
            self._start_over("its pages do not authenticate")
        files.remove(self._suspect)
        try:
            return self._connect(self.layout.meta)
        except Damaged as error:
            log.database_put_aside("meta.db", str(error))
            self._start_over(str(error))
            return self._connect(self.layout.meta)

    def _connect(self, path: Path) -> Database:
        return Database(path, self._key, "meta", durable=True, busy_seconds=BUSY_SECONDS)

    def _start_over(self, reason: str) -> None:
        """Move what is there of the database aside and put the newest good backup in its place."""
        self._begin_recovery()
        stamp = str(int(time.time()))
        for suffix in ("", "-wal", "-shm", "-journal"):
            path = self.layout.home / f"meta.db{suffix}"
            if path.exists():
                self.layout.put_aside(path, stamp)
        for backup in backups(self.layout):
            if self._usable(backup):
                with files.Staged(self.layout.tmp) as staged:
                    staged.write(backup.read_bytes())
                    staged.publish(self.layout.meta, replace=True)
                log.database_restored(f"backup/{backup.name}")
                return
        if self.layout.epoch.exists():
            log.database_restored(f"nothing ({reason}; no usable backup)")

    def _usable(self, backup: Path) -> bool:
        try:
            database = self._connect(backup)
        except (Damaged, StoreBusy, OSError):
            return False
        try:
            return database.intact()
        finally:
            database.close()

    def _begin_recovery(self) -> None:
        """Message ids and UIDs may mean something else from here on: noted on disk, so that a crash does not end it."""
        files.write_atomic(self.layout.tmp, self.layout.recovering, b"", replace=True)

    def mark_damaged(self) -> None:
        """Pages turned out to be damaged in mid-session: the next process that opens it starts over."""
        with suppress(OSError):
            files.write_atomic(self.layout.tmp, self._suspect, b"", replace=True)

    # Has the database been put back to an earlier state?

    def _notice_older(self) -> None:
        seen = self._epoch()  # before the database: it never runs ahead of what is committed
        if self.setting("is_copy") or self.setting("changes") < seen:
            self.renumber()

    def _epoch(self) -> int:
        """The count of changes that clients may have seen; 0 where the file is empty or damaged."""
        found = parse_epoch(os.pread(self._epoch_fd, _EPOCH.size, 0))
        return 0 if found is None else found.changes

    def _note_epoch(self, changes: int) -> None:
        kept = dict(self.db.execute("SELECT name, value FROM settings WHERE name IN ('sealed', 'files')").fetchall())
        numbers = struct.pack(">QQQ", changes, kept["sealed"], kept["files"])
        os.pwrite(self._epoch_fd, numbers + struct.pack(">I", zlib.crc32(numbers)), 0)

    def renumber(self) -> None:
        """Give every mailbox a new UIDVALIDITY: clients must not take old UIDs for new messages.

        Once is enough: UIDs given out after that cannot be mistaken.
        """
        if self._renumbered:
            return
        log.database_older()
        self._begin_recovery()
        with self.change():
            for (mailbox,) in self.db.execute("SELECT id FROM mailboxes").fetchall():
                self.db.execute("UPDATE mailboxes SET uidvalidity = ? WHERE id = ?", (self.next_uidvalidity(), mailbox))
            self.db.execute("UPDATE settings SET value = 0 WHERE name = 'is_copy'")
            self.db.execute("UPDATE settings SET value = max(value, ?) WHERE name = 'changes'", (self._epoch(),))
        self._renumbered = True

    # Transactions

    @contextmanager
    def change(self) -> Iterator[None]:
        """A transaction that changes something; counted, and the count noted outside."""
        try:
            with self.db.write():
                yield
                count = int(
                    self.db.value("UPDATE settings SET value = value + 1 WHERE name = 'changes' RETURNING value")
                )
        except BaseException:
            self._numbers.clear()  # it may hold flag sets that were rolled back
            self._flagsets.clear()
            raise
        self._note_epoch(count)

    def setting(self, name: str) -> int:
        return int(self.db.value("SELECT value FROM settings WHERE name = ?", name))

    def set_setting(self, name: str, value: int) -> None:
        """Inside a transaction."""
        self.db.execute("UPDATE settings SET value = ? WHERE name = ?", (value, name))

    def next_uidvalidity(self) -> int:
        """A value never given out before (inside a transaction). RFC 9051 section 2.3.1.1."""
        value = max(int(time.time()), self.setting("uidvalidity") + 1)
        self.set_setting("uidvalidity", value)
        return value

    # Which ids mean which messages

    def note_step(self) -> None:
        """Message ids are given out (inside a transaction)."""
        token = secrets.token_bytes(_TOKEN_BYTES)  # SQLite's own random numbers may be those of a forked sibling
        self.db.execute("INSERT INTO history (token) VALUES (?)", (token,))
        self.db.execute("DELETE FROM history WHERE step <= ?", (self.db.last_id() - _REMEMBERED_STEPS,))

    def last_step(self) -> Step:
        """The last time that message ids were given out, or that the history was begun."""
        found: Step = self.db.execute("SELECT step, token FROM history ORDER BY step DESC LIMIT 1").fetchone()
        return found

    def has_step(self, step: Step) -> bool:
        """Whether message ids up to that step mean what they meant then; False also where that is too long ago."""
        return bool(self.db.value("SELECT count(*) FROM history WHERE (step, token) = (?, ?)", *step))

    # Flags

    def flags_of(self, flagset: int) -> str:
        """The flags of a set, as in a FETCH answer."""
        if flagset not in self._flagsets:
            self._flagsets[flagset] = str(self.db.value("SELECT flags FROM flagsets WHERE id = ?", flagset))
        return self._flagsets[flagset]

    def flagset(self, flags: frozenset[str]) -> int:
        """The number of a combination of flags; keywords take the account's spelling (inside a transaction)."""
        text = " ".join(in_order(self._spelled(flag) for flag in flags))
        if text not in self._numbers:
            number = self.db.value("SELECT id FROM flagsets WHERE flags = ?", text)
            if number is None:
                row = (text, SEEN in flags, DELETED in flags)
                self.db.execute("INSERT INTO flagsets (flags, seen, deleted) VALUES (?, ?, ?)", row)
                number = self.db.last_id()
            self._numbers[text] = number
        return self._numbers[text]

    def _spelled(self, flag: str) -> str:
        if flag.startswith("\\"):
            return flag
        self.db.execute("INSERT INTO keywords (name) VALUES (?) ON CONFLICT DO NOTHING", (flag,))
        return str(self.db.value("SELECT name FROM keywords WHERE name = ?", flag))

    def keywords(self) -> list[str]:
        """Every keyword of the account, oldest first."""
        return [name for (name,) in self.db.execute("SELECT name FROM keywords ORDER BY id")]

    def keyword_count(self) -> int:
        return int(self.db.value("SELECT count(*) FROM keywords"))

    # Keeping

    def copy_to(self, target: Path) -> None:
        self.db.copy_to(target, self._key)

    def close(self) -> None:
        os.close(self._epoch_fd)
        self.db.close()


def backups(layout: Layout) -> list[Path]:
    """Backup copies of meta.db, newest first."""
    found = [p for p in layout.backup.glob("meta.db.*") if p.suffix[1:].replace("-", "").isdigit()]
    return sorted(found, reverse=True)
