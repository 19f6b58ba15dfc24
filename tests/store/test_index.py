"""index.db beside a disk that is full, a database that was put back, a message that is damaged: never a wrong answer."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import select
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crymapd.crypto.secret import Secret
from crymapd.crypto.stream import read_body
from crymapd.errors import MessageUnavailable
from crymapd.imap.prepared import prepare
from crymapd.mime.text import ReadOctets, search_form
from crymapd.model.numbers import MessageId
from crymapd.store import incoming, index
from crymapd.store.database import Database
from crymapd.store.message import Message
from crymapd.store.sealed_file import OpenedFile
from crymapd.store.store import Store
from crymapd.store.summary import Prepare, Room, Summarizer, Summary
from crymapd.unix import files
from tests.testlib.process import no_file_longer_than
from tests.testlib.stores import StoreOpener, append, mailbox_id, message, stored


def ids(store: Store) -> list[MessageId]:
    return [row.message for row in stored(store, mailbox_id(store, "INBOX"))]


def headers(store: Store) -> list[bytes]:
    """What is told without reading the messages, as far as the index has it."""
    found = store.headers(ids(store))
    return [found[each] for each in ids(store)]


def test_what_the_index_could_not_take_is_read(home: Path, open_store: StoreOpener) -> None:
    store = open_store(home)
    for number in range(40):
        append(store, message(f"word{number}", 4000))
    store.components.index.rest()
    for path in home.glob("index.db*"):
        path.unlink()
    with no_file_longer_than(96 * 1024):
        for _turn in range(3):
            store.indexing.behind = True
            store.catch_up(60)
        assert not store.behind, "it is not tried again and again"
    assert store.indexing.unindexed() | store.components.index.indexed(ids(store)) == set(ids(store))
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
        later.components.index.forget(ids(later)[3:])
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
    assert last.components.index.candidates(search_form("second1")) == set()
    assert last.components.index.candidates(search_form("third1")) == {ids(last)[4]}


def test_the_index_stays_after_a_login(home: Path, open_store: StoreOpener) -> None:
    store = open_store(home)
    append(store, message("kept"))
    store.catch_up(60)
    store.close()
    again = open_store(home)
    assert again.components.index.candidates(search_form("kept")) == set(ids(again)) and not again.indexing.unindexed()


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
    again.components.index.rest()
    for path in home.glob("index.db*"):
        path.unlink()
    broken = ids(again)[0]
    with again.read(broken) as opened, pytest.raises(MessageUnavailable):
        opened.summary(prepare)
    again.catch_up(60)
    assert again.indexing.unindexed() == {broken}
    with again.read(broken) as note:
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


@contextmanager
def index_not_writable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """As on a full disk; yields what was tried to be written."""
    write = Database.write
    tried: list[Path] = []

    @contextmanager
    def refused(database: Database) -> Iterator[None]:
        if database.path.name == "index.db":
            tried.append(database.path)
            raise OSError("index.db: database or disk is full")
        with write(database):
            yield

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", refused)
        yield tried


def test_an_index_of_other_messages_that_cannot_be_emptied(
    home: Path, tmp_path: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not used, neither now nor when there is room again."""
    append(store := open_store(home), message("kept"))
    store.close()
    older = shutil.copytree(home, tmp_path / "older")
    store = open_store(home)
    for number in range(3):
        append(store, message(f"lost{number}"))
    store.catch_up(60)
    store.close()
    for path in home.glob("index.db*"):
        shutil.copy(path, older)
    store = open_store(older)
    for number in range(4):
        append(store, message(f"new{number}"))
    right = [store.read(each).summary(prepare).header for each in ids(store)]
    with index_not_writable(monkeypatch):
        assert headers(store) == right
    store.catch_up(60)
    assert headers(store) == right
    store.close()
    assert headers(open_store(older)) == right


def test_one_index_and_two_databases(home: Path, open_store: StoreOpener) -> None:
    """A session whose meta.db was taken away goes on, beside one with the backup in its place."""
    one = open_store(home)
    append(one, message("both"))
    one.components.meta.copy_to(home / "backup" / "meta.db.2026-11-22")
    append(one, message("later"))
    one.catch_up(60)
    for path in home.glob("meta.db*"):
        path.rename(home.parent / path.name)
    other = open_store(home)
    for turn in range(3):
        for store in (one, other):
            append(store, message(f"{turn} of {'one' if store is one else 'other'}"))
            store.catch_up(60)
            for opened in (one, other):
                assert headers(opened) == [opened.read(each).summary(prepare).header for each in ids(opened)]


def test_a_history_begins_with_the_database(home: Path, open_store: StoreOpener) -> None:
    """An older meta.db without one, as before it was kept, is not taken for that of the index."""
    append(store := open_store(home), message("first"))
    store.catch_up(60)
    with store.components.meta.db.write():
        store.components.meta.db.execute("DELETE FROM history")
    store.close()
    again = open_store(home)
    assert again.components.meta.history.last_step()[0] > 0
    assert not again.components.index.indexed(ids(again))


def test_a_note_is_not_known_by_what_it_stands_for(home: Path, open_store: StoreOpener) -> None:
    """The message turned out damaged before there was time to index what was appended."""
    append(store := open_store(home), message("real"))
    file = next(path for path in (home / "messages").rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes()[:-1])
    with store.read(ids(store)[0]) as note:
        assert note.is_note
    store.catch_up(60)
    assert b"unreadable" in headers(store)[0]
    assert not store.components.index.candidates(search_form("real"))


def test_a_full_disk_and_a_damaged_message(
    home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a note, and the message again when its file is back, though neither can be remembered."""

    def full(*_arguments: object) -> None:
        raise OSError("meta.db: database or disk is full")

    append(store := open_store(home), message("real"))
    file = next(path for path in (home / "messages").rglob("*") if path.is_file())
    octets = file.read_bytes()
    file.write_bytes(octets[:-1])
    with monkeypatch.context() as patched:
        patched.setattr(store.components.entries, "set_condition", full)
        assert store.read(ids(store)[0]).is_note
    assert store.read(ids(store)[0]).is_note
    file.write_bytes(octets)
    with monkeypatch.context() as patched:
        patched.setattr(store.components.entries, "set_condition", full)
        assert store.read(ids(store)[0]).octets() == message("real")


@pytest.mark.parametrize(("text", "is_indexed"), [("base64", False), ("prose", True)])
def test_what_takes_sqlite_long_is_read_instead(
    home: Path, open_store: StoreOpener, text: str, is_indexed: bool
) -> None:
    """Three megabytes of base64 in the text kept a client waiting for five seconds."""
    octets = hashlib.shake_256(b"varied").digest(1_200_000)
    lines = base64.encodebytes(octets) if text == "base64" else b"the words of a long story\n" * 60_000
    append(store := open_store(home), b"Subject: long\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n" + lines)
    while store.behind:
        store.catch_up(1)
    assert (store.components.index.candidates(search_form("pgp message")) == set(ids(store))) is is_indexed
    assert (store.indexing.unindexed() == set()) is is_indexed


def put_back(home: Path, copy: Path) -> None:
    """An older meta.db in the place of that which sessions may have open."""
    for path in home.glob("meta.db*"):
        path.rename(home.parent / path.name)
    shutil.copy2(copy, home / "meta.db")


@pytest.mark.parametrize("by_sibling", [False, True], ids=["by itself", "by a sibling"])
def test_emptied_while_it_is_filled(
    home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch, by_sibling: bool
) -> None:
    """A session whose meta.db was taken away writes in the middle of a slice; what had been there is read again."""
    taken_away = open_store(home)
    append(taken_away, message("both"))
    taken_away.components.meta.copy_to(home / "backup" / "meta.db.2026-11-22")
    append(taken_away, message("old"))
    taken_away.catch_up(60)
    put_back(home, home / "backup" / "meta.db.2026-11-22")
    store, sibling = open_store(home), open_store(home)
    append(store, message("before"))
    store.catch_up(60)
    assert sibling.components.index.indexed(ids(store)) == set(ids(store))

    def interrupted(message_id: MessageId) -> Message:
        monkeypatch.undo()
        last = ids(taken_away)[-1]
        with taken_away.read(last) as old:
            assert taken_away.components.index.put([(last, old.summary(prepare))])
        if by_sibling:
            assert sibling.components.index.complete() == 0
        return store.read(message_id)

    append(sibling, message("later"))  # so that it is read by the other one
    monkeypatch.setattr(store.components.reader, "read", interrupted)
    store.catch_up(60)
    assert store.components.index.indexed(ids(store)) | store.indexing.unindexed() == set(ids(store))
    assert all(store.components.index.candidates(search_form(word)) for word in ("both", "before", "later"))


def test_a_damaged_index_that_cannot_be_removed(
    home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk turned read-only under a session: it answers without the index."""
    append(store := open_store(home), message("word"))
    store.catch_up(60)
    store.components.index.rest()
    octets = bytearray((home / "index.db").read_bytes())
    for page in range(2, len(octets) // 4096):
        octets[page * 4096 + 1000] ^= 1
    (home / "index.db").write_bytes(octets)

    def refused(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(files, "remove", refused)
    assert b"about word" in headers(store)[0]
    assert store.components.index.candidates(search_form("word")) is None and store.indexing.unindexed() == set(
        ids(store)
    )


def test_damaged_before_a_sibling_had_indexed_it(home: Path, open_store: StoreOpener) -> None:
    append(knows := open_store(home), message("real"))
    append(knows, message("whole"))
    first = ids(knows)[0]
    file = knows.components.layout.message(knows.components.entries.sealed_files([first])[first][0].hex())
    file.write_bytes(file.read_bytes()[:-1])
    finds = open_store(home)
    with finds.read(first) as note:
        assert note.is_note
    knows.catch_up(60)
    for store in (knows, finds):
        assert b"unreadable" in headers(store)[0] and b"about whole" in headers(store)[1]
        assert not store.components.index.candidates(search_form("real")) and store.components.index.candidates(
            search_form("whole")
        )


def test_an_index_is_made_when_the_damaged_one_is_gone(home: Path, open_store: StoreOpener) -> None:
    """Not while another session still removes its logs, which would be those of the new one by then."""
    append(store := open_store(home), message("word"))
    store.catch_up(60)
    store.close()
    removing, removed = os.pipe()
    remover = os.fork()
    if not remover:
        status = 1
        try:
            os.close(removing)
            _remove_slowly(open_store(home), removed)
            status = 0
        finally:
            os._exit(status)
    os.close(removed)
    assert os.read(removing, 1) == b"1"
    other = open_store(home)
    other.catch_up(60)
    assert os.read(removing, 1) == b"2", "before the new index was opened"
    assert os.waitpid(remover, 0)[1] == 0 and (home / "index.db-wal").exists()
    assert other.components.index.indexed(ids(other)) == set(ids(other))


def _remove_slowly(store: Store, tell: int) -> None:
    assert store.components.index.complete()
    remove = files.remove

    def slowly(path: Path) -> bool:
        was_there = remove(path)
        if path.name == "index.db":
            os.write(tell, b"1")
            select.select([], [], [], 0.5)
        if path.name == "index.db-shm":
            os.write(tell, b"2")
        return was_there

    files.remove = slowly
    store.components.index._replace("a test")


def test_a_mistake_about_one_message(
    home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch, event_lines: list[str]
) -> None:
    """What nobody has asked for ends no session; it is said, and the rest is indexed."""
    finish = Summarizer.finish_reading

    def mistaken(summarizer: Summarizer, prepare: Prepare, read: ReadOctets) -> Summary:
        if b"about odd" in summarizer.close().raw:
            raise KeyError("a secret")
        return finish(summarizer, prepare, read)

    append(appended := open_store(home), message("odd"))
    append(appended, message("good"))
    with monkeypatch.context() as patched:
        patched.setattr(Summarizer, "finish_reading", mistaken)
        appended.catch_up(60)
        found = open_store(home)
        found.catch_up(60)
    odd, good = ids(appended)
    assert found.indexing.unindexed() == {odd} and found.components.index.indexed([odd, good]) == {good}
    assert any("was not indexed: KeyError in mistaken" in line for line in event_lines)
    assert not any("secret" in line for line in event_lines)


def test_a_full_disk_when_all_is_indexed(home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only how far it has come cannot be written: it is not tried again and again."""
    monkeypatch.setattr("crymapd.store.indexing._SLICE", 2)
    store = open_store(home)
    for number in range(5):
        append(store, message(f"word{number}"))
    store.catch_up(60)
    with store.components.index._db.write():
        store.components.index._db.execute("UPDATE progress SET complete = 0")
    store.indexing.behind = True
    with index_not_writable(monkeypatch) as tried:
        store.catch_up(5)
        assert not store.behind and len(tried) == 1
    store.indexing.behind = True
    store.catch_up(60)
    assert store.components.index.complete() == ids(store)[-1]


@contextmanager
def opened_by_another(home: Path) -> Iterator[None]:
    """Which has been stopped in the middle of it."""
    with files.locked(home / "tmp" / "index-open.lock", wait=5.0):
        yield


@contextmanager
def written_by_another(home: Path, open_store: StoreOpener) -> Iterator[None]:
    other = open_store(home)
    with other.components.index._db.write():
        yield


@pytest.mark.parametrize("opening", [True, False], ids=["opens", "writes"])
def test_a_sibling_that_was_stopped(
    home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch, event_lines: list[str], opening: bool
) -> None:
    """A session waits for it once, and goes on without the index for a while."""
    monkeypatch.setattr(index, "BUSY_SECONDS", 2.0)
    monkeypatch.setattr(index, "_LEFT_ALONE", 3600.0)
    append(store := open_store(home), message("word"))
    store.close()
    store = open_store(home)
    with opened_by_another(home) if opening else written_by_another(home, open_store):
        started = time.monotonic()
        for _turn in range(5):
            assert b"about word" in headers(store)[0]
            store.indexing.behind = True
            store.catch_up(60)
        assert 2 <= time.monotonic() - started < 5 * 2, "it waited once, not in every turn"
    assert sum("index.db cannot be used now" in line for line in event_lines) == 1
    an_hour_later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
    monkeypatch.setattr(index, "time", an_hour_later)
    store.indexing.behind = True
    store.catch_up(60)
    assert store.components.index.candidates(search_form("about word")) == set(ids(store))


@pytest.mark.parametrize("name", ["index.db", "index.db-wal", "tmp/index-open.lock", "tmp/index.lock"])
@pytest.mark.parametrize("what", [Path.mkdir, lambda path: path.symlink_to("/etc/passwd")], ids=["directory", "link"])
def test_something_else_in_its_place(
    home: Path, open_store: StoreOpener, event_lines: list[str], name: str, what: Callable[[Path], None]
) -> None:
    append(store := open_store(home), message("word"))
    store.close()
    for path in home.glob("index.db*"):
        path.unlink()
    (home / name).unlink(missing_ok=True)
    what(home / name)
    before = Path("/etc/passwd").read_bytes()
    store = open_store(home)
    for _turn in range(3):
        assert b"about word" in headers(store)[0]
        store.indexing.behind = True
        store.catch_up(60)
        assert not store.behind
    assert store.components.index.candidates(search_form("about word")) == set(
        ids(store)
    ) or store.indexing.unindexed() == set(ids(store))
    assert (
        store.components.index.indexed(ids(store))
        or sum("index.db cannot be used" in line for line in event_lines) == 1
    )
    assert Path("/etc/passwd").read_bytes() == before


def test_parts_in_their_order_take_one_pass(
    home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many parts a large message has, reading them one after the other decrypts it once."""
    parts = b"".join(b"--b\r\n\r\n" + b"word %d " % n * 60 + b"\r\n" for n in range(4_000))
    append(store := open_store(home), b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n")
    decrypted = 0
    pieces = OpenedFile.pieces

    def counted(self: OpenedFile, *arguments: Any) -> Iterator[bytes]:
        nonlocal decrypted
        for piece in pieces(self, *arguments):
            decrypted += len(piece)
            yield piece

    monkeypatch.setattr(OpenedFile, "pieces", counted)
    with store.read(ids(store)[0]) as read:
        whole = read.size
        assert whole > 1 << 20, "it is not held"
        for part in read.root.children:
            assert read.octets(part.body, part.end).startswith(b"word ")
        assert decrypted <= 2.2 * whole, "once to find the parts, once to read them"
        first, last = read.root.children[0], read.root.children[-1]
        assert read.octets(last.body, last.end).startswith(b"word 3999 ")
        assert read.octets(first.body, first.end).startswith(b"word 0 ")
        assert decrypted <= 4.2 * whole


def test_a_message_read_in_two_places_at_once_is_a_mistake(home: Path, open_store: StoreOpener) -> None:
    append(store := open_store(home), b"Subject: x\r\n\r\n" + b"0123456789" * 200_000)
    with store.read(ids(store)[0]) as read:
        one = read.pieces(14)
        next(one)
        next(read.pieces(500_000))
        with pytest.raises(RuntimeError, match="two places"):
            list(one)


def test_what_was_read_in_an_older_way_is_made_again(tmp_path: Path) -> None:
    """The search form has changed: rows of before must not be asked."""
    tables = ("headers", "rendered", "fields", "texts", "words", "unindexed")

    def opened_again() -> Database:
        return Database(tmp_path / "index.db", Secret(bytes(32)), "index", durable=False, busy_seconds=1)

    old = opened_again()
    with old.write():
        old.execute("PRAGMA user_version = 5")
        old.execute("INSERT INTO headers VALUES (1, x'')")
        old.execute("INSERT INTO rendered VALUES (1, x'', x'', x'', NULL, NULL, NULL, x'')")
        old.execute("INSERT INTO fields VALUES (1, NULL)")
        old.execute("INSERT INTO texts VALUES (1, NULL)")
        old.execute("INSERT INTO words (rowid, folded) VALUES (1, 'lower case')")
        old.execute("INSERT INTO unindexed VALUES (2)")
        old.execute("UPDATE progress SET complete = 2, incarnation = x'00'")
    old.close()
    new = opened_again()
    assert [new.value(f"SELECT count(*) FROM {table}") for table in tables] == [0] * len(tables)
    assert new.value("SELECT rowid FROM words WHERE words MATCH '\"low\"'") is None
    assert new.value("SELECT complete FROM progress") == 0
    assert new.value("SELECT incarnation FROM progress") != b"\0"
    new.execute("INSERT INTO words (rowid, folded) VALUES (1, 'UPPER CASE')")
    assert new.value("SELECT rowid FROM words WHERE words MATCH '\"UPP\"'") == 1
    new.close()


def test_a_message_of_many_parts_is_read_in_few_passes(
    home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once to find its parts and once for their texts, whatever is made of them: not once for each part."""
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nneedle%d " + b"x y z " * 150 + b"\r\n"
    parts = b"".join(part % number for number in range(2000))
    octets = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"
    append(store := open_store(home), octets)
    read_octets: list[int] = []

    def counting(*arguments: Any) -> Iterator[bytes]:
        for piece in read_body(*arguments):
            read_octets.append(len(piece))
            yield piece

    monkeypatch.setattr("crymapd.store.sealed_file.read_body", counting)
    store.indexing.behind = True
    store.catch_up(60)
    assert not store.behind and store.components.index.candidates(search_form("needle1999 x y")) == set(ids(store))
    assert 0 < sum(read_octets) <= 2.1 * len(octets)
    read_octets.clear()
    with store.read(ids(store)[0]) as opened:
        texts = opened.search_texts()
        assert texts is not None and search_form("needle1999 x y") in texts.bodies
    assert 0 < sum(read_octets) <= 2.1 * len(octets)
