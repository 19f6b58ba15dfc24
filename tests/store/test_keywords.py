"""Keywords: a mailbox has those of its messages, and the account forgets those that no message has."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from crymapd.errors import MailboxFull
from crymapd.model.flags import SYSTEM_FLAGS, StoreMode
from crymapd.store import flagsets, maintenance
from crymapd.store.store import Store
from tests.testlib.stores import EVERY, StoreOpener, append, forget_format_four, mailbox_id, message, put_in, uids

KEYWORDS = ("$Junk", "$Forwarded", "work", "later")


def told(store: Store, mailbox: str = "INBOX") -> set[str]:
    """The keywords in the FLAGS of a mailbox."""
    return set(store.select(mailbox, read_only=True).flag_names()) - set(SYSTEM_FLAGS)


def carried(store: Store, mailbox: str) -> set[str]:
    """The keywords that its messages have."""
    entries = store.components.entries.entries(mailbox_id(store, mailbox), EVERY)
    return {flag for entry in entries for flag in store.flags_of(entry.flagset).split()} - set(SYSTEM_FLAGS)


def store_flags(store: Store, mailbox: str, uid: int, mode: StoreMode, *flags: str) -> None:
    store.components.entries.store(mailbox_id(store, mailbox), [uids(uid)], mode, frozenset(flags))


def forget(store: Store) -> None:
    maintenance.forget_keywords(store.components, time.time())


def test_flags_are_those_of_the_mailbox(home: Path, open_store: StoreOpener) -> None:
    """However they come there."""
    store = open_store(home)
    for name in ("a", "b", "c"):
        store.mailboxes.create(name)
    uid = append(store, message("one"), "a", ["appended"])
    assert [told(store, name) for name in ("INBOX", "a", "b")] == [set(), {"appended"}, set()]
    store_flags(store, "a", uid, StoreMode.ADD, "stored", "\\Seen")
    entries, a, b, c = store.components.entries, *(mailbox_id(store, name) for name in "abc")
    entries.copy(a, [uids(uid)], b)
    entries.move(b, [uids(1)], c)
    put_in(home, message("two"), "INBOX", ["delivered"])
    store.file_arrivals()
    assert told(store) == {"delivered"} and told(store, "c") == {"appended", "stored"}
    store.mailboxes.rename("INBOX", "moved")
    assert told(store) == set() and told(store, "moved") == {"delivered"}
    assert [told(store, name) for name in ("a", "b", "c")] == [{"appended", "stored"}, set(), {"appended", "stored"}]


def test_flags_are_exact(home: Path, open_store: StoreOpener) -> None:
    """Whatever two sessions do, and whoever forgets in between."""
    choice = random.Random(5)
    one, two = open_store(home), open_store(home)
    for name in ("a", "b"):
        one.mailboxes.create(name)
    for step in range(400):
        store, (source, target) = choice.choice((one, two)), choice.sample(("INBOX", "a", "b"), 2)
        ranges = [uids(low := choice.randint(1, 60), low + choice.randint(0, 9))]
        entries, its_id = store.components.entries, mailbox_id(store, source)
        flags = choice.sample(KEYWORDS, choice.randint(0, 2))
        match choice.randrange(7):
            case 0 | 1:
                append(store, message(str(step)), source, flags)
            case 2 | 3:
                entries.store(its_id, ranges, choice.choice(list(StoreMode)), frozenset(flags))
            case 4:
                entries.copy(its_id, ranges, mailbox_id(store, target))
            case 5:
                entries.move(its_id, ranges, mailbox_id(store, target))
            case _:
                entries.expunge(its_id, ranges, only_deleted=False)
        if step % 20 == 0:
            forget(choice.choice((one, two)))
        for name in ("INBOX", "a", "b"):
            assert told(one, name) == carried(one, name), step


def test_many_that_were_used_once(home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are neither told for ever nor do they keep new ones out; another session may have them in its memory."""
    monkeypatch.setattr(flagsets, "MAX_KEYWORDS", 50)
    store, other = open_store(home), open_store(home)
    uid = append(store, message("one"))
    for number in range(40):
        store_flags(other, "INBOX", uid, StoreMode.REPLACE, f"k{number}")
    assert told(store) == {"k39"}
    for number in range(100):
        store_flags(store, "INBOX", uid, StoreMode.REPLACE, f"n{number}")
    assert not store.keywords_are_used_up and told(store) == {"n99"}
    forget(store)
    assert store.components.meta.db.value("SELECT count(*) FROM keywords") == 1
    store_flags(other, "INBOX", uid, StoreMode.REPLACE, "k7")
    assert told(store) == {"k7"} and carried(store, "INBOX") == {"k7"}


def test_when_messages_have_as_many_as_there_may_be(
    home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flagsets, "MAX_KEYWORDS", 3)
    store = open_store(home)
    uid = append(store, message("one"), flags=["a", "b", "c"])
    assert store.keywords_are_used_up
    with pytest.raises(MailboxFull, match="more than 3 keywords"):
        store_flags(store, "INBOX", uid, StoreMode.ADD, "d")
    store_flags(store, "INBOX", uid, StoreMode.ADD, "A", "\\Seen")
    assert carried(store, "INBOX") == {"a", "b", "c"}
    store_flags(store, "INBOX", uid, StoreMode.REMOVE, "a")
    assert not store.keywords_are_used_up
    store_flags(store, "INBOX", uid, StoreMode.ADD, "d")
    assert carried(store, "INBOX") == {"b", "c", "d"} == told(store)


def test_an_older_database_learns_which_keywords_its_mailboxes_have(home: Path, open_store: StoreOpener) -> None:
    store = open_store(home)
    store.mailboxes.create("a")
    append(store, message("one"), "a", ["$Junk", "\\Seen", "$a$b"])
    uid = append(store, message("two"), "INBOX", ["gone"])
    store_flags(store, "INBOX", uid, StoreMode.REPLACE, "\\Flagged", "\\Answered")
    with store.components.meta.db.write():
        forget_format_four(store)
    store.close()
    store = open_store(home)
    assert told(store, "a") == {"$Junk", "$a$b"} and told(store) == set()
