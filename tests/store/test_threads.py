"""Threads: what `<yes>` has joined for ever is divided again, and stays together where it belongs together."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from crymapd.crypto.slots import Argon2
from crymapd.mime import references
from crymapd.model.numbers import MessageId, Uid
from crymapd.store import account, maintenance
from crymapd.store.store import Store
from tests.testlib.stores import EVERY, StoreOpener, append, forget_format_four, mailbox_id, stored

_message_ids = references.message_ids


def every_id(field: bytes | None) -> list[bytes]:
    """What counted as Message-IDs before."""
    return [] if not field else [references._normal(octets) for octets in references._BRACKETED.findall(field)]


def mail(number: int, *answered: str) -> bytes:
    lines = [f"Subject: {number}", f"Message-ID: <{number}@example.org>"]
    if answered:
        lines.append("References: " + " ".join(f"<{one}>" for one in answered))
    return ("\r\n".join(lines) + "\r\n\r\nx\r\n").encode()


def threads(store: Store) -> dict[MessageId, bytes | None]:
    return {row.message: row.thread for row in stored(store, mailbox_id(store, "INBOX"))}


def partition(store: Store) -> list[list[MessageId]]:
    """Which messages are together."""
    together: dict[bytes | None, list[MessageId]] = {}
    for message, thread in threads(store).items():
        together.setdefault(thread, []).append(message)
    return sorted(together.values())


def corpus(seed: int) -> list[bytes]:
    """Mails of some threads, many of which also answer `yes`, and some of which come before what they answer."""
    choice = random.Random(seed)
    mails = []
    for number in range(60):
        answered = [f"{one}@example.org" for one in range(max(0, number - 6), number) if choice.random() < 0.15]
        if choice.random() < 0.1:
            answered.append(f"{number + choice.randint(1, 5)}@example.org")
        if choice.random() < 0.3:
            answered.insert(choice.randint(0, len(answered)), choice.choice(("yes", "y")))
        mails.append(mail(number, *answered))
    return mails


@pytest.mark.parametrize("seed", range(8))
def test_they_become_what_they_would_be_today(
    home: Path, tmp_path: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """With mail that arrives before maintenance, and whatever has not been indexed yet."""
    mails = corpus(seed)
    store = open_store(home)
    monkeypatch.setattr(references, "message_ids", every_id)
    for one in mails[:50]:
        append(store, one)
    before = threads(store)
    with store.components.meta.db.write():
        forget_format_four(store)
    store.close()
    monkeypatch.setattr(references, "message_ids", _message_ids)
    store = open_store(home)
    for one in mails[50:]:
        append(store, one)
    maintenance.divide_threads(store.components, time.time())
    (tmp_path / "today").mkdir(mode=0o700)
    account.create(tmp_path / "today", "password", Argon2(8, 1, 1))
    today = open_store(tmp_path / "today", "password")
    for one in mails:
        append(today, one)
    assert partition(store) == partition(today)
    assert len(set(before.values())) < len(set(threads(store).values())), "there was something to divide"
    after = threads(store)
    oldest = {thread: min(m for m in before if before[m] == thread) for thread in set(before.values())}
    assert all(after[message] == thread for thread, message in oldest.items()), "the oldest keeps its THREADID"
    db = store.components.meta.db
    tables = ("mixed_threads", "undivided", "divided_references")
    assert [db.value(f"SELECT count(*) FROM {table}") for table in tables] == [0, 0, 0]
    for opened, number in ((store, 100), (today, 100)):
        append(opened, mail(number, "yes", "59@example.org", "12@example.org"))
    assert partition(store) == partition(today), "later mail joins what was decided"


def test_a_message_that_cannot_be_read_stays(home: Path, open_store: StoreOpener) -> None:
    store = open_store(home)
    append(store, mail(1))
    append(store, mail(2, "1@example.org"))
    (thread,) = set(threads(store).values())
    with store.components.meta.change():
        forget_format_four(store)
    store.close()
    store = open_store(home)
    first, second = store.components.meta.threads.undivided(10)
    with store.components.meta.change():
        store.components.meta.threads.divide({first: None, second: (b"x@example.org",)})
    assert threads(store)[first] == thread != threads(store)[second]


def test_what_only_purged_messages_have_named_joins_nobody(home: Path, open_store: StoreOpener) -> None:
    """They may have been strangers."""
    store = open_store(home)
    for number in (1, 2, 3):
        append(store, mail(number, "1@example.org"))
    store.components.entries.expunge(mailbox_id(store, "INBOX"), [(Uid(2), Uid(2))], only_deleted=False)
    store.components.entries.forget([MessageId(2)])
    with store.components.meta.change():
        forget_format_four(store)
    store.close()
    store = open_store(home)
    maintenance.divide_threads(store.components, time.time())
    append(store, mail(4, "2@example.org"))
    first, third, fourth = threads(store).values()
    assert first == third != fourth


def test_messages_that_are_purged_meanwhile(home: Path, open_store: StoreOpener) -> None:
    store = open_store(home)
    for number in (1, 2, 3):
        append(store, mail(number, "1@example.org"))
    with store.components.meta.change():
        forget_format_four(store)
    store.close()
    store = open_store(home)
    messages = store.components.meta.threads.undivided(10)
    store.components.entries.expunge(mailbox_id(store, "INBOX"), EVERY, only_deleted=False)
    store.components.entries.forget(messages[1:])
    with store.components.meta.change():
        store.components.meta.threads.divide(dict.fromkeys(messages, (b"x@example.org",)))
    assert not store.components.meta.threads.undivided(10)
