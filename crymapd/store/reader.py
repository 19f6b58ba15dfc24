"""Reading messages by their ids: the sealed file opened, or a note about it where that is not possible.

A file that turns out to be missing or damaged is reported once, remembered in its row, and read as a note; when
it has come back it is read again.
"""

from __future__ import annotations

import contextlib

from crymapd import log
from crymapd.crypto.secret import Secret
from crymapd.errors import CrymapError, Damaged, KeyMissing, MessageGone, MessageUnavailable
from crymapd.model.numbers import MessageId
from crymapd.store import notes
from crymapd.store.entries import Entries
from crymapd.store.index import Index
from crymapd.store.keys import KeyStore
from crymapd.store.layout import Layout
from crymapd.store.message import Message, Streamed, Whole
from crymapd.store.rows import SealedFile
from crymapd.store.sealed_file import UNKNOWN_KEY, Opened

_SMALL = 1 << 20
"""Octets of a message that is held whole."""


class MessageReader:
    """Opens the messages of one account."""

    def __init__(self, layout: Layout, keys: KeyStore, account_id: bytes, entries: Entries, index: Index) -> None:
        self._layout = layout
        self._keys = keys
        self._account_id = account_id
        self._entries = entries
        self._index = index
        self.unsound: set[MessageId] = set()
        """Messages of which this process has last read a note."""

    def read(self, message: MessageId, known: SealedFile | None = None) -> Message:
        """Open a message; what `entries.sealed_files` says of it may be known already.

        Raises:
            MessageGone: it was expunged and purged.
            MessageUnavailable: its file is there but cannot be read now.
        """
        where = known or self._entries.sealed_files([message]).get(message)
        if where is None:
            raise MessageGone(f"message {message} was expunged")
        try:
            opened = self._opened(message, where)
        except MessageGone:
            reason = "the file is missing"
            log.message_missing(where.file.hex())
        except OSError as error:
            log.message_unavailable(where.file.hex(), error.strerror or str(error))
            raise MessageUnavailable(f"message {message}: {error.strerror or error}") from error
        except (Damaged, KeyMissing) as error:
            reason = str(error)
            log.message_damaged(where.file.hex(), reason)
        else:
            self.unsound.discard(message)
            return opened
        return self._note(message, where.file, reason, where.damaged)

    def _opened(self, message: MessageId, where: SealedFile) -> Message:
        opened = Opened(self._layout, where.file)
        try:
            body_key = self._body_key(where.body_key, opened)
            size = where.size
            if where.damaged is not None:  # it has come back, and the row has the size of the note
                size = sum(map(len, opened.pieces(body_key)))
                self._remember(message, size, None)
            if size > _SMALL:
                return Streamed(opened, body_key, size, lambda error: self._failed(message, where.file, error))
            octets = opened.whole(body_key)
        except BaseException:
            opened.close()
            raise
        opened.close()
        return Whole(octets)

    def _body_key(self, known: bytes, opened: Opened) -> Secret:
        """The key of the row; one that could not be had at filing is in the sealed head."""
        if known == UNKNOWN_KEY:
            known = opened.head.open(self._keys.opening_key(opened.head.key_name), self._account_id).body_key
        return Secret(known)

    def _note(self, message: MessageId, file: bytes, reason: str, known_reason: str | None) -> Message:
        self.unsound.add(message)
        text = notes.note(file, reason)
        if known_reason != reason:
            self._remember(message, len(text), reason)
        if known_reason != reason or self._index.indexed([message]):  # by a session that had read it before
            self._index.forget([message], purged=False)
        return Whole(text, is_note=True)

    def _remember(self, message: MessageId, size: int, damaged: str | None) -> None:
        """Write the condition into the row; where that fails, the next who reads it finds out again."""
        with contextlib.suppress(CrymapError, OSError):
            self._entries.set_condition(message, size, damaged)

    def _failed(self, message: MessageId, file: bytes, error: Exception) -> None:
        """A large message could not be read to its end; opened again, a damaged one is a note."""
        if isinstance(error, OSError):
            log.message_unavailable(file.hex(), error.strerror or str(error))
        else:
            log.message_damaged(file.hex(), str(error))
            self._note(message, file, str(error), None)
