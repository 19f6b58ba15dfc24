"""Message files whose rows are lost come back to INBOX, though the one who brings them back is killed or hindered.

The login after it must go on by itself: daily maintenance may be hours away.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from crymapd.imap.prepared import prepare
from crymapd.model.names import DEFAULT_MAILBOXES
from crymapd.store import account, filing, maintenance
from crymapd.store.epoch import EpochFile
from crymapd.store.filing import ignore
from crymapd.store.layout import Layout
from crymapd.store.mailboxes import Mailboxes
from crymapd.store.meta import Meta
from crymapd.store.store import Store
from tests.testlib.crash import run_until
from tests.testlib.stores import (
    CHEAP,
    LIMIT,
    PASSWORD,
    StoreOpener,
    append,
    contents,
    copied,
    digest,
    digests,
    identities,
    message,
    opened,
    put_in,
)

WORDS = ("one", "two", "three", "four")
WHOLE = sorted(digest(message(word)) for word in WORDS)
MOST_STEPS = 300


def without_database(home: Path, _yesterday: Path) -> None:
    (home / "meta.db").unlink()


def nothing_left_of_it(home: Path, _yesterday: Path) -> None:
    (home / "meta.db").unlink()
    (home / "epoch").unlink()


def with_yesterdays(home: Path, yesterday: Path) -> None:
    shutil.copyfile(yesterday, home / "meta.db")


def with_the_backup(home: Path, _yesterday: Path) -> None:
    (backup,) = (home / "backup").glob("meta.db.*")
    shutil.copyfile(backup, home / "meta.db")


def damaged(home: Path, _yesterday: Path) -> None:
    (home / "meta.db").write_bytes(b"\0" * 4096)


LOSSES = (without_database, nothing_left_of_it, with_yesterdays, with_the_backup, damaged)
losses = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: str(loss.__name__))
Loss = Callable[[Path, Path], None]


@pytest.fixture
def lost(home: Path, tmp_path: Path, open_store: StoreOpener, loss: Loss) -> Path:
    """A user directory with four messages, of which the database that is there now knows one at most."""
    store = open_store(home)
    append(store, message(WORDS[0]), "Archive")
    if loss in (with_the_backup, damaged):
        maintenance.back_up(store.components, time.time())
    store.close()
    yesterday = tmp_path / "yesterday"
    shutil.copyfile(home / "meta.db", yesterday)
    store = open_store(home)
    for word in WORDS[1:]:
        append(store, message(word))
    store.close()
    loss(home, yesterday)
    return home


@losses
def test_killed_at_each_step(lost: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cheap_hash: None) -> None:
    """The next login has every message, and takes the mark away."""
    monkeypatch.setattr(filing, "_BATCH", 1)  # each file is a step
    marked = 0
    for step in range(1, MOST_STEPS):
        home = copied(lost, tmp_path / f"step-{step}")
        outcome = run_until(step, lambda home=home: lambda: opened(account.unlock(home, PASSWORD)).close())  # type: ignore[misc]
        marked += Layout(home).recovering.exists()
        store = opened(account.unlock(home, PASSWORD))
        try:
            assert digests(contents(store)) == WHOLE
            assert not store.components.layout.recovering.exists()
        except BaseException as error:
            error.add_note(f"killed at step {step}: {outcome.step or 'not at all'}")
            raise
        finally:
            store.close()
        shutil.rmtree(home)
        if not outcome.killed:
            break
    else:
        raise AssertionError("it does not end")
    assert marked > 3


@losses
def test_one_file_that_cannot_be_read(
    lost: Path, monkeypatch: pytest.MonkeyPatch, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """It holds up no other; as soon as it can be read, the next login has it too."""
    held = min((lost / "messages").glob("*/*"))
    real = os.open

    def refusing(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if Path(path).name == held.name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refusing)
        for _login in range(2):
            store = open_store(lost)
            known = {bytes(file).hex() for (file,) in store.components.meta.db.execute("SELECT file FROM messages")}
            on_disk = {path.parent.name + path.name for path in (lost / "messages").glob("*/*")}
            name = held.parent.name + held.name
            assert on_disk - known <= {name}
            assert store.components.layout.recovering.exists() == (name not in known)
            store.close()
        if name not in known:
            assert any("cannot be read now: Permission denied" in line and name[2:16] in line for line in event_lines)
    store = open_store(lost)
    assert digests(contents(store)) == WHOLE
    assert not store.components.layout.recovering.exists()
    before = identities(store)
    store.close()
    assert identities(open_store(lost)) == before, "once is enough"


@losses
def test_it_is_said_once(lost: Path, open_store: StoreOpener, event_lines: list[str]) -> None:
    """One line for the older database, one for what came back; nothing at the next login."""
    store = open_store(lost)
    assert digests(contents(store)) == WHOLE
    assert len([line for line in event_lines if "older than what clients have seen" in line]) == 1, event_lines
    assert len([line for line in event_lines if "without a row in meta.db" in line]) == 1
    store.close()
    event_lines.clear()
    open_store(lost)
    assert not event_lines


def test_a_damaged_page_is_said_once(home: Path, open_store: StoreOpener, event_lines: list[str]) -> None:
    """Found in mid-session; the successor puts the backup in its place."""
    store = open_store(home)
    append(store, message("one"), "Archive")
    maintenance.back_up(store.components, time.time())
    append(store, message("two"))
    store.close()
    content = bytearray((home / "meta.db").read_bytes())
    content[-2000] ^= 1
    (home / "meta.db").write_bytes(content)
    Layout(home).tmp.joinpath("meta.db.suspect").touch()
    store = open_store(home)
    assert digests(contents(store)) == sorted(digest(message(word)) for word in ("one", "two"))
    assert len([line for line in event_lines if "damaged" in line]) == 1
    assert len([line for line in event_lines if "rebuilt from backup" in line]) == 1
    assert len([line for line in event_lines if "older than what clients have seen" in line]) == 1


def test_uids_after_recovery_are_new(home: Path, open_store: StoreOpener) -> None:
    """Found by maintenance in a session that had opened well: the UIDs to come may have been given before."""
    store = open_store(home)
    kept = identities(store)
    append(store, message("one"))
    lost = next((home / "messages").glob("*/*"))
    name = lost.parent.name + lost.name
    store.components.meta.db.execute("DELETE FROM entries")
    store.components.meta.db.execute("DELETE FROM messages")
    store.components.meta.db.execute("UPDATE mailboxes SET messages = 0, unseen = 0, octets = 0, recent = 0")
    assert store.components.filing.recover_orphans(ignore)
    assert store.components.entries.message_id(bytes.fromhex(name)) is not None
    assert not set(identities(store).values()) & set(kept.values())


def test_new_gone_in_mid_session(home: Path, open_store: StoreOpener, event_lines: list[str]) -> None:
    """The directory of arrivals is made again, and what is delivered then is filed."""
    store = open_store(home)
    shutil.rmtree(home / "new")
    assert store.file_arrivals() == 0
    assert len(event_lines) == 1 and "new/ was missing" in event_lines[0]
    put_in(home, message("one"))
    assert store.file_arrivals() == 1
    assert digests(contents(store)) == [digest(message("one"))]
    assert len(event_lines) == 1


def test_new_that_is_no_directory(home: Path, open_store: StoreOpener, event_lines: list[str]) -> None:
    """Nothing has arrived, then; it is said once."""
    store = open_store(home)
    (home / "new").rmdir()
    (home / "new").touch()
    for _ in range(3):
        assert store.file_arrivals() == 0
    assert len(event_lines) == 1 and "new/ cannot be listed" in event_lines[0]


@pytest.mark.parametrize("what", ["everything", "without epoch", "meta.db alone"])
@pytest.mark.parametrize("changed", [True, False], ids=["changed since", "unchanged"])
def test_a_directory_that_was_put_back(
    home: Path, tmp_path: Path, open_store: StoreOpener, what: str, changed: bool
) -> None:
    """UIDVALIDITY changes exactly where clients have seen what the backup does not have."""
    outside = tmp_path / "seen"

    def opened_with_witness() -> Store:
        return Store(account.unlock(home, PASSWORD), prepare, LIMIT, witness=EpochFile(outside))

    store = opened_with_witness()
    append(store, message("before"))
    store.close()
    copied(home, tmp_path / "copy")
    store = opened_with_witness()
    validity = store.mailboxes.get("INBOX").uidvalidity
    if changed:
        append(store, message("after"))
    store.close()
    if what == "meta.db alone":
        shutil.copyfile(tmp_path / "copy" / "meta.db", home / "meta.db")
    else:
        shutil.rmtree(home)
        copied(tmp_path / "copy", home)
        if what == "without epoch":
            (home / "epoch").unlink()
    store = opened_with_witness()
    assert (store.mailboxes.get("INBOX").uidvalidity != validity) == changed
    store.close()
    store = opened_with_witness()
    validity = store.mailboxes.get("INBOX").uidvalidity
    store.close()
    store = opened_with_witness()
    assert store.mailboxes.get("INBOX").uidvalidity == validity, "once is enough"
    store.close()


def test_two_sessions_are_the_first(tmp_path: Path, cheap_hash: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find an empty database, for example after it was rebuilt; one of them makes the mailboxes."""
    unlocked = account.create(tmp_path, PASSWORD, CHEAP)
    unlocked.layout.make()
    one, other = (Meta(unlocked.layout, unlocked.master) for _session in range(2))
    change = one.change

    def change_after_the_other() -> AbstractContextManager[None]:
        Mailboxes(other).provide_defaults()
        return change()

    monkeypatch.setattr(one, "change", change_after_the_other)
    Mailboxes(one).provide_defaults()
    assert len(Mailboxes(one).all()) == 1 + len(DEFAULT_MAILBOXES)
    one.close()
    other.close()
