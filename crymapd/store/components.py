"""The components of one user's opened store, put together for `store`, its face, and for `maintenance`."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from crymapd.errors import CrymapError
from crymapd.store.account import Unlocked
from crymapd.store.entries import Entries
from crymapd.store.epoch import EpochFile
from crymapd.store.filing import Arrived, Filing, ignore
from crymapd.store.index import Index
from crymapd.store.keys import KeyStore
from crymapd.store.layout import Layout
from crymapd.store.mailboxes import Mailboxes
from crymapd.store.meta import Meta
from crymapd.store.reader import MessageReader
from crymapd.unix import files


@dataclass(frozen=True, slots=True)
class Components:
    """The components of a store that need no protocol."""

    layout: Layout
    keys: KeyStore
    meta: Meta
    mailboxes: Mailboxes
    entries: Entries
    index: Index
    reader: MessageReader
    filing: Filing

    def finish_interrupted(self, arrived: Arrived = ignore) -> None:
        """Finish what a crash has interrupted: moving files to their places, and a recovery."""
        self.filing.finish_interrupted()
        if self.layout.recovering.exists() and self.filing.recover_orphans(arrived):
            files.remove(self.layout.recovering)

    def close(self) -> None:
        """Note which files are placed, and close the databases."""
        with contextlib.suppress(CrymapError, OSError):  # without the note, files are only looked for once more
            self.entries.flush_placed()
        self.index.rest()
        self.meta.close()


def open_components(unlocked: Unlocked, witness: EpochFile | None = None) -> Components:
    """Open the databases, rotate the keys, and create the mailboxes of a new account.

    Raises:
        NewerStore, StoreBusy, OSError.
    """
    layout, account_id = unlocked.layout, unlocked.user.account_id
    layout.make()
    keys = KeyStore(layout, unlocked.master, account_id)
    keys.rotate(unlocked.user.keys, time.time())
    meta = Meta(layout, unlocked.master, witness)
    mailboxes = Mailboxes(meta)
    entries = Entries(meta)
    index = Index(layout, unlocked.master, meta.history)
    mailboxes.provide_defaults()
    return Components(
        layout,
        keys,
        meta,
        mailboxes,
        entries,
        index,
        MessageReader(layout, keys, account_id, entries, index),
        Filing(layout, keys, account_id, meta, mailboxes, entries),
    )
