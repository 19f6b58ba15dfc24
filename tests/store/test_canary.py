"""Unguessable words in everything that is secret: no file holds one at any time, and no name of a file does."""

from __future__ import annotations

import base64
import secrets
import time
from pathlib import Path

import pytest

from crymapd.model.flags import StoreMode
from crymapd.store import maintenance
from tests.testlib.stores import EVERY, StoreOpener, append, contents, mailbox_id, put_in, staged

PLACES = ("body", "subject", "address", "attachment", "mailbox", "keyword", "flag_at_delivery", "subscription")


@pytest.fixture
def words() -> dict[str, str]:
    return {place: f"canary{place[:4]}{secrets.token_hex(10)}" for place in PLACES}


def mail(words: dict[str, str]) -> bytes:
    """Every word in its place; the attachment's octets are sealed as octets, not as base64."""
    data = base64.encodebytes(words["body"].encode() * 40).replace(b"\n", b"\r\n").decode()
    return (
        f"From: {words['address']} <{words['address']}@example.org>\r\nTo: alice@example.org\r\n"
        f"Subject: about {words['subject']}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
        f"the word is {words['body']}\r\n--b\r\nContent-Type: application/x; name={words['attachment']}\r\n"
        f"Content-Transfer-Encoding: base64\r\n\r\n{data}--b--\r\n"
    ).encode()


def readable(folder: Path, words: dict[str, str]) -> list[str]:
    """Where a word can be read: as it is, in UTF-16, in base64 at each offset, in a name."""
    needles = {(place, form) for place, word in words.items() for form in _forms(word)}
    found = []
    for path in folder.rglob("*"):
        found += [f"{place} in the name {path}" for place, form in needles if form in bytes(path.relative_to(folder))]
        if path.is_file():
            content = path.read_bytes()
            found += [f"{place} in {path}" for place, form in needles if form in content]
    return found


def _forms(word: str) -> list[bytes]:
    octets = word.encode()
    shifted = [base64.b64encode(b"x" * shift + octets)[4:-4] for shift in range(3)]
    return [octets, octets.upper(), word.encode("utf-16-le"), octets.hex().encode(), *shifted]


def test_the_search_finds(tmp_path: Path, words: dict[str, str]) -> None:
    """A test that cannot fail proves nothing."""
    (tmp_path / words["mailbox"]).write_bytes(b"x" + words["body"].encode("utf-16-le"))
    (tmp_path / "encoded").write_bytes(base64.b64encode(b"abcd" + words["subject"].encode() + b"z"))
    assert {line.split()[0] for line in readable(tmp_path, words)} == {"mailbox", "body", "subject"}


def test_nothing_is_readable(
    home: Path, words: dict[str, str], open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = home.parent
    temporary = root / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("SQLITE_TMPDIR", str(temporary))
    octets = mail(words)
    put_in(home, octets, words["mailbox"], (words["flag_at_delivery"],))
    assert not readable(root, words), "delivered and not yet filed"

    store = open_store(home)
    store.mailboxes.create(words["mailbox"])
    store.mailboxes.subscribe(words["subscription"])
    store.file_arrivals()
    filed = mailbox_id(store, words["mailbox"])
    assert sum(map(len, contents(store).values())) == 1
    append(store, octets, words["mailbox"], (words["keyword"],))
    waiting = staged(store, words["mailbox"], octets, flags=(words["keyword"],))
    store.components.entries.store(filed, EVERY, StoreMode.ADD, frozenset((words["keyword"] + "too",)))
    for number in range(300):  # enough for the log to be checkpointed and pages to move
        store.mailboxes.create(f"{words['mailbox']}/{number}")
    assert (home / "meta.db-wal").stat().st_size and (home / "meta.db-shm").stat().st_size
    assert (home / "index.db-wal").stat().st_size
    assert not readable(root, words), "while the store is open"

    waiting.commit(words["mailbox"])
    store.mailboxes.rename(words["mailbox"], words["mailbox"] + "renamed")
    store.components.entries.expunge(filed, EVERY, only_deleted=False)
    assert maintenance.run(store.components, time.time(), force=True)
    assert list((home / "backup").glob("meta.db.*"))
    assert not readable(root, words), "with a backup"

    store.close()
    assert not readable(root, words), "after closing"
    store = open_store(home)
    (home / "index.db").write_bytes(b"damaged" * 1000)
    store.close()
    (home / "meta.db").write_bytes(b"damaged" * 1000)
    store = open_store(home)
    assert words["mailbox"] in str(contents(store).keys())
    assert not readable(root, words), "with what was put aside and restored"


def test_deleted_names_leave_nothing_to_the_key_holder_either(
    home: Path, words: dict[str, str], open_store: StoreOpener
) -> None:
    """`secure_delete`: a mailbox deleted is not in the free pages of the database."""
    store = open_store(home)
    store.mailboxes.create(words["mailbox"])
    store.mailboxes.delete(words["mailbox"])
    clear = store.components.meta.db._connection.serialize("main")
    assert b"INBOX" in clear or not clear.startswith(b"SQLite format 3")
    assert words["mailbox"].encode() not in clear


def test_modes(home: Path, words: dict[str, str], open_store: StoreOpener) -> None:
    """Nobody else can even look: directories 0700, files 0600, while open too."""
    put_in(home, mail(words))
    store = open_store(home)
    store.file_arrivals()
    assert maintenance.run(store.components, time.time(), force=True)
    for path in home.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
