"""`meta.db`, and the transaction that every change to it runs in: it is counted, and the count noted in `epoch`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from crymapd import log
from crymapd.crypto.secret import Secret, derive
from crymapd.store.epoch import Epoch, EpochFile
from crymapd.store.flagsets import FlagSets
from crymapd.store.history import History
from crymapd.store.layout import Layout
from crymapd.store.reserve import Reserve
from crymapd.store.restoring import MetaFile, begin_recovery
from crymapd.store.threads import Threads

_KEY_LABEL = "meta.db"
_MOST_UNKNOWN = 1 << 40
"""How many changes an older database may lack. A file that claims more was forged, or torn, and is not believed."""


def _is_implausible(file: EpochFile, own_changes: int) -> bool:
    return file.changes > own_changes + _MOST_UNKNOWN


class Meta:
    """The opened metadata database.

    Attributes:
        db: the database; no module outside the store sees it.
        flagsets: the flag sets and their ids.
        history: when message ids were given out.
        threads: which messages have the same THREADID.
    """

    def __init__(self, layout: Layout, master: Secret, witness: EpochFile | None = None) -> None:
        """Open the database; if it was put back to an earlier state, renumber its mailboxes.

        Args:
            layout: where it lies.
            master: the account's master key.
            witness: a file outside the user directory that is written as `epoch` is, so that putting back the whole
                directory is noticed too; it is closed with the database.

        Raises:
            NewerStore, StoreBusy, OSError.
        """
        self._layout = layout
        self._key = derive(master, _KEY_LABEL)
        self._file = MetaFile(layout, self._key)
        self._renumbered = False
        self._reserve = Reserve(layout.reserve)
        self._reserve.release_if_needed()
        self.db = self._file.open()
        self.db.on_damage = self.mark_damaged
        self.flagsets = FlagSets(self.db)
        self.history = History(self.db)
        self.threads = Threads(self.db)
        self._epochs = [*self._own_epoch(), *([] if witness is None else [witness])]
        self._notice_older()
        if self.history.is_empty:  # the first step cannot be part of the schema, since its token is random
            with self.change():
                self.history.note_step()

    def mark_damaged(self) -> None:
        """Note that pages turned out to be damaged; the next process that opens the database repairs it."""
        self._file.mark_damaged()

    def _own_epoch(self) -> list[EpochFile]:
        """Open `epoch`, and put aside what is there instead of a file. The database works without it, too."""
        path = self._layout.epoch
        try:
            try:
                return [EpochFile(path)]
            except OSError:
                if not os.path.lexists(path) or path.is_file():
                    raise
                self._layout.put_aside(path, str(int(time.time())))
                return [EpochFile(path)]
        except OSError as error:
            log.epoch_not_opened(str(error))
            return []

    # Has it been put back to an earlier state?

    def _notice_older(self) -> None:
        # Read before the database: each change that is noted here is committed, so a database with fewer is older.
        noted_changes = self._noted_changes
        if self.setting("is_copy") or self.setting("changes") < noted_changes:
            self.renumber()
        changes = self.setting("changes")
        if any(file.changes < changes or _is_implausible(file, changes) for file in self._epochs):
            self._note(self._current_epoch())

    def _current_epoch(self) -> Epoch:
        names = ("changes", "sealed", "files")
        values = dict(self.db.execute("SELECT name, value FROM settings WHERE name IN (?, ?, ?)", names).fetchall())
        return Epoch(*(int(values[name]) for name in names))

    @property
    def _noted_changes(self) -> int:
        """The number of changes that clients may have seen."""
        own = self.setting("changes")
        plausible = [0]
        for file in self._epochs:
            if _is_implausible(file, own):
                log.epoch_implausible(file.name)
            else:
                plausible.append(file.changes)
        return max(plausible)

    def renumber(self) -> None:
        """Give every mailbox a new UIDVALIDITY, so that clients do not mistake new messages for those they know.

        It is done at most once in a process: nobody can mistake UIDs that are given out after it.
        """
        if self._renumbered:
            return
        log.database_older()
        begin_recovery(self._layout)
        with self.change():
            for (mailbox,) in self.db.execute("SELECT id FROM mailboxes").fetchall():
                self.db.execute("UPDATE mailboxes SET uidvalidity = ? WHERE id = ?", (self.next_uidvalidity(), mailbox))
            self.db.execute("UPDATE settings SET value = 0 WHERE name = 'is_copy'")
            self.db.execute("UPDATE settings SET value = max(value, ?) WHERE name = 'changes'", (self._noted_changes,))
        self._renumbered = True

    # Transactions

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all questions of a block see the same moment of the database."""
        return self.db.read()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Run the block in a transaction that counts as one change; when it is committed, note it in `epoch`."""
        self._reserve.release_if_needed()
        try:
            with self.db.write():
                yield
                self.db.execute("UPDATE settings SET value = value + 1 WHERE name = 'changes'")
                epoch = self._current_epoch()
        except BaseException:
            self.flagsets.empty_cache()
            raise
        self._note(epoch)

    def _note(self, epoch: Epoch) -> None:
        """Write the file `epoch`. A failure is only logged, because the change is committed and has not failed."""
        for file in self._epochs:
            try:
                file.write(epoch)
            except OSError as error:
                log.epoch_not_written(str(error))

    def setting(self, name: str) -> int:
        """Return a value from the table `settings`."""
        return int(self.db.value("SELECT value FROM settings WHERE name = ?", name))

    def next_uidvalidity(self) -> int:
        """Make, inside a transaction, a UIDVALIDITY that was never given out before (RFC 9051 section 2.3.1.1)."""
        value = max(int(time.time()), self.setting("uidvalidity") + 1)
        self.db.execute("UPDATE settings SET value = ? WHERE name = 'uidvalidity'", (value,))
        return value

    # Keeping

    def copy_to(self, target: Path) -> None:
        """Write a consistent copy under the same key."""
        self.db.copy_to(target, self._key)

    def close(self) -> None:
        for file in self._epochs:
            file.close()
        self.db.close()
