"""Filing: giving the sealed files in `new/` their rows, then moving them to `messages/`."""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from crymapd import log
from crymapd.crypto.secret import Secret
from crymapd.errors import BadMailboxName, Damaged, KeyMissing, MailboxFull, MessageGone, NoSuchMailbox, TooBig
from crymapd.mime.references import references
from crymapd.model.flags import SYSTEM_FLAGS, canonical_flags
from crymapd.model.names import INBOX, canonical_mailbox
from crymapd.model.numbers import MailboxId, MessageId
from crymapd.store import notes
from crymapd.store.entries import Entries, NewMessage
from crymapd.store.keys import KeyStore
from crymapd.store.layout import Layout
from crymapd.store.mailboxes import Mailboxes
from crymapd.store.meta import Meta
from crymapd.store.sealed_file import DEFAULT_LARGEST, UNKNOWN_KEY, UNLIMITED, OpenedFile, place
from crymapd.store.summary import Room, Summarizer
from crymapd.unix import files

_DIRECTORY = re.compile(r"[0-9a-f]{2}")
_FILE = re.compile(r"[0-9a-f]{64}")
_BATCH = 64
_LEFT_TO_SIBLING = 60.0
"""Seconds in which nobody waits again for a sibling that did not finish filing in time."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What reading a sealed file through has shown.

    Attributes:
        message: its future row, which also says why the file could not be opened.
        mailbox: the name of the mailbox where it should go.
        summarizer: what was gathered while reading; None if it was not opened, or if there was no room to keep it.
    """

    message: NewMessage
    mailbox: str
    summarizer: Summarizer | None


Arrived = Callable[[MessageId, Summarizer | None], None]
"""Called for each message that has got its row, with what was gathered while its octets were read."""


def ignore(_message: MessageId, _summarizer: Summarizer | None) -> None:
    """Do nothing, in a process that does not index: whichever session indexes next reads the message again."""


class Filing:
    """Files arrivals, recovers orphans, and finishes what a crash has interrupted."""

    def __init__(
        self,
        layout: Layout,
        keys: KeyStore,
        account_id: bytes,
        meta: Meta,
        mailboxes: Mailboxes,
        entries: Entries,
    ) -> None:
        self._layout = layout
        self._keys = keys
        self._account_id = account_id
        self._meta = meta
        self._mailboxes = mailboxes
        self._entries = entries
        self._ignored: set[str] = set()
        self._not_before = 0.0
        self.largest = DEFAULT_LARGEST
        """The octets of the largest message that is filed; a larger one stays in `new/`."""
        self.more_waits = False
        """Whether the last `file_arrivals` left some arrivals for want of time."""
        self._unlisted = False  # whether the log says already that new/ cannot be listed

    def file_arrivals(self, seconds: float, arrived: Arrived, *, patience: float = 0.0) -> int:
        """File arrivals, the oldest first; it costs little if there are none.

        Args:
            seconds: about how long it may take.
            arrived: is told of each message.
            patience: for how many seconds to wait until a sibling has done its own filing.

        Returns:
            How many were filed.
        """
        self.more_waits = False
        if not self._waiting():
            return 0
        deadline = time.monotonic() + seconds
        with files.locked(self._layout.tmp / "filing.lock", wait=self._patience(patience)) as has_lock:
            if not has_lock:
                self._not_before = time.monotonic() + _LEFT_TO_SIBLING
                return 0
            waiting = self._waiting()
            filed = 0
            while filed < len(waiting) and not (filed and time.monotonic() > deadline):
                batch = [bytes.fromhex(name) for name in waiting[filed : filed + _BATCH]]
                filed += self._file(batch, arrived, deadline)
        self.more_waits = filed < len(waiting)
        return filed

    def _patience(self, seconds: float) -> float:
        """Return how long to wait for a sibling; 0 for a while after waiting for one in vain, since it may hang."""
        return 0.0 if time.monotonic() < self._not_before else seconds

    def _waiting(self) -> list[str]:
        """Names in `new/`, oldest first; none if it cannot be listed, which must not keep anybody from other mail."""
        try:
            return self._listed()
        except OSError as error:
            self._cannot_list(error)
        return []

    def _cannot_list(self, error: OSError) -> None:
        try:
            if isinstance(error, FileNotFoundError):
                if files.make_dir(self._layout.new):
                    log.directory_made_again("new")
                return
        except OSError as other:
            error = other
        if not self._unlisted:
            self._unlisted = True
            log.not_listed("new", str(error.strerror))

    def _listed(self) -> list[str]:
        names: list[tuple[int, str]] = []
        with os.scandir(self._layout.new) as entries:
            for entry in entries:
                if entry.name in self._ignored:
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # a sibling has just filed it
                if _FILE.fullmatch(entry.name) and stat.S_ISREG(status.st_mode):
                    names.append((status.st_mtime_ns, entry.name))
                else:
                    self._ignored.add(entry.name)
                    log.not_a_message(entry.name)
        return [name for _moment, name in sorted(names)]

    def _file(self, sealed_files: list[bytes], arrived: Arrived, deadline: float) -> int:
        """File some arrivals, one at least, and others only before the deadline; return how many."""
        examined: list[Examined] = []
        room = Room()
        done = 0
        for file in sealed_files:
            if done and time.monotonic() > deadline:
                break
            done += 1
            if self._entries.message_id(file) is None:  # otherwise a crash came after the row and before the move
                try:
                    examined.append(self._examine(file, room, self.largest))
                except MessageGone:
                    continue  # a sibling filed it
                except (OSError, TooBig) as error:
                    # A file that cannot be read now must not hold up the others; the next session tries it again.
                    self._ignored.add(file.hex())
                    log.not_filed(file.hex(), str(getattr(error, "strerror", None) or error))
        self._add(examined, arrived)
        for file in sealed_files[:done]:
            self._finish(file)
        return done

    def _add(self, examined: list[Examined], arrived: Arrived) -> None:
        """Give examined files their rows, one transaction for each mailbox; INBOX replaces one that does not exist."""
        targets: dict[MailboxId, list[Examined]] = {}
        for item in examined:
            targets.setdefault(self._target(item.mailbox), []).append(item)
        for mailbox, items in targets.items():
            self._append(mailbox, [item.message for item in items])
        for item in examined:
            message = self._entries.message_id(item.message.file)
            if message is not None:
                arrived(message, item.summarizer)

    def _append(self, mailbox: MailboxId, messages: list[NewMessage]) -> None:
        """Add messages to a mailbox; if the account has too many keywords, add them without keywords."""
        try:
            self._entries.append(mailbox, messages)
        except MailboxFull:
            system = frozenset(SYSTEM_FLAGS)
            try:
                self._entries.append(mailbox, [replace(message, flags=message.flags & system) for message in messages])
            except MailboxFull as error:
                for message in messages:
                    log.not_filed(message.file.hex(), str(error))

    def _target(self, name: str) -> MailboxId:
        try:
            return self._mailboxes.get(canonical_mailbox(name)).id
        except (NoSuchMailbox, BadMailboxName):
            return self._mailboxes.get(INBOX).id

    def _finish(self, file: bytes) -> None:
        message = self._entries.message_id(file)
        if message is not None and place(self._layout, file):
            self._entries.placed([message])

    def finish_interrupted(self) -> None:
        """Place the files whose rows were committed before a crash."""
        for message, file in self._entries.unplaced():
            if place(self._layout, file):
                self._entries.placed([message])
        self._entries.flush_placed()

    def recover_orphans(self, arrived: Arrived) -> bool:
        """File all orphans into INBOX; return whether every one of them has been filed.

        A file is placed after its row is committed and removed before its row is, so no crash makes an orphan: the
        database must be older than the files.  It may then give out UIDs again that clients know already, so every
        mailbox gets a new UIDVALIDITY.
        """
        present_files = self.message_files()  # listed before the rows, lest a file that is filed now seem an orphan
        files_with_rows = set(self._entries.files())
        orphans = [file for file in present_files if file not in files_with_rows]
        if not orphans:
            return True
        self._meta.renumber()
        complete = True
        for at in range(0, len(orphans), _BATCH):
            examined: list[Examined] = []
            room = Room()
            for file in orphans[at : at + _BATCH]:
                try:
                    examined.append(replace(self._examine(file, room), mailbox=INBOX))
                except MessageGone:
                    continue
                except OSError as error:
                    complete = False  # the next login tries this one again
                    log.message_unavailable(file.hex(), str(error.strerror))
            self._add(examined, arrived)
        self.finish_interrupted()
        log.orphans_filed(len(orphans))
        return complete

    def message_files(self) -> list[bytes]:
        """The names of all files under `messages/`, oldest first."""
        names: list[tuple[int, bytes]] = []
        for directory in self._layout.messages.iterdir():
            if not _DIRECTORY.fullmatch(directory.name) or directory.is_symlink() or not directory.is_dir():
                continue
            with os.scandir(directory) as entries:
                for entry in entries:
                    name = directory.name + entry.name
                    if _FILE.fullmatch(name) and entry.is_file(follow_symlinks=False):
                        names.append((entry.stat(follow_symlinks=False).st_mtime_ns, bytes.fromhex(name)))
        return [file for _moment, file in sorted(names)]

    def _examine(self, file: bytes, room: Room, largest: int = UNLIMITED) -> Examined:
        """Read a sealed file through; one that cannot be opened becomes a message too, which is read as a note.

        Raises:
            MessageGone: the file is gone.
            TooBig: the message is larger than `largest`, however small the file: nothing more of it is unpacked.
            OSError: it cannot be read now, but perhaps later.
        """
        try:
            return self._read(file, room, largest)
        except (Damaged, KeyMissing) as error:
            reason = str(error)
        log.delivery_unreadable(file.hex(), reason)
        moment = int(time.time())
        size = len(notes.note(file, reason))
        message = NewMessage(file, secrets.token_bytes(16), UNKNOWN_KEY, size, moment, 0, frozenset(), reason)
        return Examined(message, INBOX, None)

    def _read(self, file: bytes, room: Room, largest: int) -> Examined:
        with OpenedFile(self._layout, file) as opened:
            metadata = opened.head.open(self._keys.opening_key(opened.head.key_name), self._account_id)
            summarizer = Summarizer()
            for piece in opened.pieces(Secret(metadata.body_key)):
                summarizer.feed(piece)
                if summarizer.size > largest:
                    raise TooBig(largest)
            sealed = opened.octets
        try:
            flags = canonical_flags(metadata.flags)
        except ValueError:
            flags = frozenset()
        header = summarizer.close()
        message = NewMessage(
            file,
            metadata.email_id,
            metadata.body_key,
            summarizer.size,
            metadata.received,
            metadata.zone,
            flags,
            references=references(header),
            sealed=sealed,
        )
        return Examined(message, metadata.mailbox, room.keep(summarizer))
