"""Reading messages by their ids: from the sealed file, or as a note if that cannot be read.

That a file is missing or damaged is remembered in its row, and the message is read as a note. Once the file is whole
again, so is the message.
"""

from __future__ import annotations

import contextlib
from functools import partial

from crymapd import log
from crymapd.crypto.secret import Secret
from crymapd.errors import CrymapError, Damaged, KeyMissing, MessageGone, MessageUnavailable
from crymapd.model.numbers import MessageId
from crymapd.store import notes
from crymapd.store.entries import Entries
from crymapd.store.index import Index
from crymapd.store.keys import KeyStore
from crymapd.store.layout import Layout
from crymapd.store.message import HeldMessage, Message, StreamedMessage
from crymapd.store.rows import SealedFile
from crymapd.store.sealed_file import UNKNOWN_KEY, OpenedFile

_SMALL = 1 << 20
"""Octets of the largest message that is held in memory."""


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

    def read(self, message: MessageId, sealed_file: SealedFile | None = None) -> Message:
        """Open a message, or the note in its place.

        Args:
            message: the message.
            sealed_file: what `Lookup.sealed_files` says of it, if the caller has asked already.

        Raises:
            MessageGone: it was expunged and purged.
            MessageUnavailable: its file is there but cannot be read now.
        """
        sealed_file = sealed_file or self._entries.sealed_files([message]).get(message)
        if sealed_file is None:
            raise MessageGone(f"message {message} was expunged")
        try:
            opened_message = self._open(message, sealed_file)
        except MessageGone:
            reason = "the file is missing"
            log.message_missing(sealed_file.file.hex())
        except OSError as error:
            log.message_unavailable(sealed_file.file.hex(), error.strerror or str(error))
            raise MessageUnavailable(f"message {message}: {error.strerror or error}") from error
        except (Damaged, KeyMissing) as error:
            reason = str(error)
            log.message_damaged(sealed_file.file.hex(), reason)
        else:
            self.unsound.discard(message)
            return opened_message
        return self._note(message, sealed_file.file, reason, sealed_file.damaged)

    def _open(self, message: MessageId, sealed_file: SealedFile) -> Message:
        opened_file = OpenedFile(self._layout, sealed_file.file)
        try:
            body_key = self._body_key(sealed_file.body_key, opened_file)
            size = sealed_file.size
            if sealed_file.damaged is not None:  # the file is back, but the row still has the size of the note
                size = sum(map(len, opened_file.pieces(body_key)))
                self._remember(message, size, None)
            if size > _SMALL:
                on_failure = partial(self._report, message, sealed_file.file)
                return StreamedMessage(opened_file, body_key, size, on_failure)
            octets = opened_file.whole(body_key)
        except BaseException:
            opened_file.close()
            raise
        opened_file.close()
        return HeldMessage(octets)

    def _body_key(self, row_key: bytes, file: OpenedFile) -> Secret:
        """Return the key from the row, or from the sealed head if that could not be opened at filing."""
        if row_key == UNKNOWN_KEY:
            return Secret(file.head.open(self._keys.opening_key(file.head.key_name), self._account_id).body_key)
        return Secret(row_key)

    def _note(self, message: MessageId, file: bytes, reason: str, row_reason: str | None) -> Message:
        """Make the note for a message; remember the reason if the row has another one or none."""
        self.unsound.add(message)
        text = notes.note(file, reason)
        if row_reason != reason:
            self._remember(message, len(text), reason)
        if row_reason != reason or self._index.indexed([message]):  # indexed by a session that had read it before
            self._index.forget([message], purged=False)
        return HeldMessage(text, is_note=True)

    def _remember(self, message: MessageId, size: int, damaged: str | None) -> None:
        """Write the condition of a file into its row. If that fails, whoever reads the message next tries again."""
        with contextlib.suppress(CrymapError, OSError):
            self._entries.set_condition(message, size, damaged)

    def _report(self, message: MessageId, file: bytes, error: Exception) -> None:
        """Report a large message that could not be read to its end; if it is damaged, it is a note from now on."""
        if isinstance(error, OSError):
            log.message_unavailable(file.hex(), error.strerror or str(error))
        else:
            log.message_damaged(file.hex(), str(error))
            self._note(message, file, str(error), None)
