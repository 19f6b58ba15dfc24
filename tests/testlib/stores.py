"""Stores of tests: put mail in, say all that is in one, count it again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crymapd.crypto.slots import Argon2
from crymapd.imap.prepared import prepare
from crymapd.model.numbers import MAX_UID, MailboxId, Uid
from crymapd.model.sequence import Range
from crymapd.store.account import Unlocked
from crymapd.store.inbox import deliver
from crymapd.store.incoming import Incoming
from crymapd.store.index import ANSWERS
from crymapd.store.rows import Stored, stored_rows
from crymapd.store.store import Store

PASSWORD = "correct horse"
CHEAP = Argon2(8, 1, 1)
LIMIT = 8 << 20
EVERY = [(Uid(1), MAX_UID)]
UNREADABLE = b"Subject: [unreadable message]"


LOCKS = {"staging.lock", "filing.lock", "maintenance.lock", "index.lock", "index-open.lock"}


def opened(account: Unlocked) -> Store:
    """A store on an account, as a session has it."""
    return Store(account, prepare, LIMIT)


def left_in(tmp: Path) -> set[str]:
    """What lies in `tmp/` beside the locks."""
    return {path.name for path in tmp.iterdir()} - LOCKS


class StoreOpener(Protocol):
    """The fixture `open_store`."""

    def __call__(self, directory: Path, password: str = PASSWORD) -> Store: ...


class OpenedStore(Store):
    """May be closed twice: by the test, and by the fixture that opened it."""

    _closed = False

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            super().close()


@dataclass(frozen=True, slots=True)
class Held:
    """One message in a mailbox: its flags and the hash of its octets."""

    flags: tuple[str, ...]
    digest: str


Contents = dict[str, dict[int, Held]]
"""Mailbox name -> UID -> message."""


def message(word: str, size: int = 300) -> bytes:
    """A message that is recognised by a word; its octets depend on nothing else."""
    body = hashlib.shake_256(word.encode()).hexdigest(size // 2)
    lines = "\r\n".join(body[at : at + 70] for at in range(0, len(body), 70))
    head = f"From: {word}@example.net\r\nTo: alice@example.org\r\nSubject: about {word}\r\n"
    return f"{head}Message-ID: <{word}@example.net>\r\n\r\n{lines}\r\n".encode()


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def put_in(home: Path, octets: bytes, mailbox: str = "INBOX", flags: Iterable[str] = ()) -> None:
    """Deliver, without the password."""
    with deliver(home, mailbox, frozenset(flags), LIMIT) as delivery:
        delivery.write(octets)
        delivery.commit()


def staged(store: Store, mailbox: str, *messages: bytes, flags: Iterable[str] = ()) -> Incoming:
    """Messages that a session has sent completely and that `commit` makes visible."""
    incoming = store.incoming()
    for octets in messages:
        incoming.begin(mailbox, frozenset(flags), None)
        incoming.write(octets)
        incoming.end()
    return incoming


def append(store: Store, octets: bytes, mailbox: str = "INBOX", flags: Iterable[str] = ()) -> int:
    """APPEND of one message; its UID."""
    with staged(store, mailbox, octets, flags=flags) as incoming:
        _uidvalidity, uids = incoming.commit(mailbox)
    return uids[0]


def uids(low: int, high: int | None = None) -> Range[Uid]:
    """A range of UIDs, or one of them."""
    return Uid(low), Uid(low if high is None else high)


def mailbox_id(store: Store, name: str) -> MailboxId:
    return store.mailboxes.get(name).id


def stored(store: Store, mailbox: MailboxId, ranges: Sequence[Range[Uid]] = EVERY) -> list[Stored]:
    """The rows of the messages in a mailbox."""
    return [row for page in store.components.entries.stored_pages(mailbox, ranges) for row in stored_rows(page)]


def contents(store: Store) -> Contents:
    """Everything that a client can see, each message read through; counters and summaries must agree with it."""
    found: Contents = {}
    for mailbox in store.mailboxes.all():
        held: dict[int, Held] = {}
        octets = 0
        rows = stored(store, mailbox.id)
        for row in rows:
            with store.read(row.message) as read:
                whole = read.octets()
            flags = tuple(store.flags_of(row.flagset).split())
            held[row.uid] = Held(flags, digest(UNREADABLE if UNREADABLE in whole else whole))
            octets += len(whole)
        messages = [row.message for row in rows]
        headers, answers = store.headers(messages), store.answers(messages, ANSWERS, utf8=False)
        for number in messages:
            with store.read(number) as read:
                summary = read.summary(prepare)
            assert summary.header == headers[number], "the index tells of another message"
            assert summary.answers(ANSWERS, utf8=False) == answers[number], "the index tells of another message"
        found[mailbox.name] = held
        now = store.mailboxes.by_id(mailbox.id)
        if now is not None:
            unseen = sum("\\Seen" not in one.flags for one in held.values())
            deleted = sum("\\Deleted" in one.flags for one in held.values())
            counted = (len(held), unseen, deleted, octets)
            assert (now.messages, now.unseen, now.deleted, now.octets) == counted, f"counters of {mailbox.name}"
            assert now.next_uid > max(held, default=0)
    return found


def digests(found: Contents) -> list[str]:
    """All messages of all mailboxes, sorted."""
    return sorted(one.digest for held in found.values() for one in held.values())


def identities(store: Store) -> dict[str, int]:
    """MAILBOXID -> UIDVALIDITY: what a client remembers of mailboxes."""
    return {mailbox.object_id: mailbox.uidvalidity for mailbox in store.mailboxes.all() if mailbox.selectable}


def copied(source: Path, target: Path) -> Path:
    """A copy of a user directory whose stores are closed, file times included."""
    shutil.copytree(source, target, symlinks=True)
    return target


def forget_format_four(store: Store) -> None:
    """Make meta.db as it was before `schema/meta-004.sql`, which the next opening runs again."""
    db = store.components.meta.db
    for trigger in ("undivided_message_added", "undivided_message_removed"):
        db.execute(f"DROP TRIGGER {trigger}")
    db.execute("DROP VIEW counted_keywords")
    for table in ("mailbox_keywords", "mixed_threads", "undivided", "divided_references"):
        db.execute(f"DROP TABLE {table}")
    db.execute("PRAGMA user_version = 3")
