"""index.db beside a disk that is full, a database that was put back, a message that is damaged: never a wrong answer."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crymapd.errors import MessageUnavailable
from crymapd.mime.summary import Room, Summarizer
from crymapd.store import incoming
from crymapd.store.store import Store
from tests.testlib.stores import EVERY, StoreOpener, append, mailbox_id, message


@contextmanager
def no_file_longer_than(octets: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def ids(store: Store) -> list[int]:
    return [row[4] for row in store.entries.stored(mailbox_id(store, "INBOX"), EVERY)]


def headers(store: Store) -> list[bytes]:
    """What is told without reading the messages, as far as the index has it."""
    found = store.headers(ids(store))
    return [found[number] for number in ids(store)]


def test_what_the_index_could_not_take_is_read(home: Path, open_store: StoreOpener) -> None:
    store = open_store(home)
    for number in range(40):
        append(store, message(f"word{number}", 4000))
    store.index.rest()
    for path in home.glob("index.db*"):
        path.unlink()
    with no_file_longer_than(96 * 1024):
        for _turn in range(3):
            store.indexing.behind = True
            store.catch_up(60)
        assert not store.behind, "it is not tried again and again"
    assert store.indexing.unindexed() | store.index.indexed(ids(store)) == set(ids(store))
    assert store.indexing.unindexed(), "the disk was full"
    store.indexing.behind = True
    store.catch_up(60)
    assert not store.indexing.unindexed()


@pytest.mark.parametrize("purged", [False, True], ids=["present", "purged"])
def test_an_older_database_put_back(home: Path, tmp_path: Path, open_store: StoreOpener, purged: bool) -> None:
    """As docs/store.md says: without index.db, over the directory. The ids are given out a second time."""
    for number in range(3):
        append(first := open_store(home), message(f"first{number}"))
        first.close()
    copy = shutil.copytree(home, tmp_path / "copy", ignore=shutil.ignore_patterns("index.db*", "tmp"))
    later = open_store(home)
    for number in range(3):
        append(later, message(f"second{number}"))
    later.catch_up(60)
    if purged:
        later.index.forget(ids(later)[3:])
    later.close()
    shutil.copytree(copy, home, dirs_exist_ok=True)
    third = open_store(home)
    for number in range(3):
        append(third, message(f"third{number}"))
    third.close()  # before there was time to index
    last = open_store(home)
    subjects = [block.split(b"about ")[1].split(b"\r\n")[0] for block in headers(last)]
    assert subjects == [b"first0", b"first1", b"first2", b"third0", b"third1", b"third2"]
    last.catch_up(60)
    assert not last.indexing.unindexed()
    assert last.index.candidates("second1") == set()
    assert last.index.candidates("third1") == {ids(last)[4]}


def test_the_index_stays_after_a_login(home: Path, open_store: StoreOpener) -> None:
    store = open_store(home)
    append(store, message("kept"))
    store.catch_up(60)
    store.close()
    again = open_store(home)
    assert again.index.candidates("kept") == set(ids(again)) and not again.indexing.unindexed()


def test_a_large_message_turns_out_damaged(home: Path, open_store: StoreOpener) -> None:
    """That one cannot be read, and is a note the next time; the database is not to blame."""
    store = open_store(home)
    append(store, message("large", 1_500_000))
    file = next(path for path in (home / "messages").rglob("*") if path.is_file())
    octets = bytearray(file.read_bytes())
    octets[-1000] ^= 1
    file.write_bytes(octets)
    store.close()
    again = open_store(home)
    again.index.rest()
    for path in home.glob("index.db*"):
        path.unlink()
    number = ids(again)[0]
    with again.read(number) as opened, pytest.raises(MessageUnavailable):
        opened.summary()
    again.catch_up(60)
    assert again.indexing.unindexed() == {number}
    with again.read(number) as note:
        assert note.is_note
    assert not (home / "tmp" / "meta.db.suspect").exists()


def test_a_message_that_cannot_be_moved_was_appended(
    home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch, event_lines: list[str]
) -> None:
    def full(*_arguments: object) -> bool:
        raise OSError(28, "No space left on device")

    store = open_store(home)
    with monkeypatch.context() as patched:
        patched.setattr(incoming, "place", full)
        append(store, message("stays"))
    assert any("not moved out of tmp" in line for line in event_lines)
    with store.read(ids(store)[0]) as opened:
        assert opened.octets() == message("stays")
    store.close()
    open_store(home)
    assert not [path for path in (home / "tmp").iterdir() if len(path.name) == 64]


def test_many_parts_take_room() -> None:
    """Ten thousand parts in fifty kilobytes are five megabytes of objects."""
    room, kept = Room(), 0
    for _number in range(20):
        summarizer = Summarizer()
        summarizer.feed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\n\n" * 10_000)
        summarizer.close()
        kept += room.keep(summarizer) is not None
    assert kept <= 1
