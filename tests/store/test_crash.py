"""The crash matrix: a process killed before each step that changes the disk loses nothing and shows nothing half.

Every operation runs in a child that is killed at its first step, then, on a fresh copy, at its second, and
so on until it gets through.  After each kill the store must hold the state before or the state after.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crymapd.crypto import slots
from crymapd.crypto.secret import derive
from crymapd.errors import BadCredentials
from crymapd.model.flags import StoreMode
from crymapd.model.numbers import MailboxId
from crymapd.store import account, maintenance
from crymapd.store.account import Unlocked, slot_of
from crymapd.store.database import Database
from crymapd.store.keys import KeyStore
from crymapd.store.restoring import backups
from crymapd.store.store import Store
from crymapd.unix import files
from tests.testlib.crash import run_until
from tests.testlib.stores import (
    CHEAP,
    EVERY,
    PASSWORD,
    Contents,
    append,
    contents,
    copied,
    digest,
    identities,
    left_in,
    mailbox_id,
    message,
    opened,
    put_in,
    staged,
    uids,
)

DAY = 24 * 3600
MOST_STEPS = 200
ALARMING = ("damaged", "missing", "older", "rebuilt", "restored", "without a row in meta.db")


@dataclass(frozen=True, slots=True)
class Template:
    """A populated user directory that is only ever copied, and what is in it."""

    home: Path
    unlocked: Unlocked
    before: Contents
    identities: dict[str, int]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    home = tmp_path_factory.mktemp("crash") / "template"
    home.mkdir(mode=0o700)
    unlocked = account.create(home, PASSWORD, CHEAP)
    store = opened(unlocked)
    store.mailboxes.create("Work/Old")
    for word in ("one", "two", "three", "four"):
        append(store, message(word), flags=("\\Seen",) if word == "two" else ())
    for word in ("five", "six"):
        append(store, message(word), "Work", ("$Todo",))
    append(store, message("seven"), "Work/Old")
    gone = append(store, message("expunged"))
    store.components.entries.expunge(mailbox_id(store, "INBOX"), [uids(gone)], only_deleted=False)
    store.close()
    maintained = opened(unlocked)
    found, known = contents(maintained), identities(maintained)
    maintained.close()
    return Template(home, unlocked, found, known)


Operation = Callable[[Store], None]


def inbox(store: Store) -> MailboxId:
    return mailbox_id(store, "INBOX")


def deliver(store: Store) -> None:
    put_in(store.components.layout.home, message("new", 200_000))


def file_three(store: Store) -> None:
    store.file_arrivals()


def append_one(store: Store) -> None:
    append(store, message("new"), flags=("\\Flagged", "$New"))


def append_three(store: Store) -> None:
    with staged(store, "Work", *map(message, ("new1", "new2", "new3"))) as incoming:
        incoming.commit("Work")


def copy(store: Store) -> None:
    store.components.entries.copy(inbox(store), [uids(1, 3)], mailbox_id(store, "Work"))


def move(store: Store) -> None:
    store.components.entries.move(inbox(store), [uids(2, 4)], mailbox_id(store, "Work/Old"))


def expunge(store: Store) -> None:
    store.components.entries.expunge(inbox(store), [uids(1), uids(3, 4)], only_deleted=False)


def set_flags(store: Store) -> None:
    store.components.entries.store(inbox(store), EVERY, StoreMode.ADD, frozenset(("\\Deleted", "$Fresh")))


def create(store: Store) -> None:
    store.mailboxes.create("New/Below/Deep")


def rename(store: Store) -> None:
    store.mailboxes.rename("Work", "Play")


def rename_inbox(store: Store) -> None:
    store.mailboxes.rename("INBOX", "Archive/2026")


def delete(store: Store) -> None:
    store.mailboxes.delete("Work/Old")


def delete_parent(store: Store) -> None:
    store.mailboxes.delete("Work")


def maintain(store: Store) -> None:
    assert maintenance.run(store.components, time.time() + 2 * DAY, force=True)


def subscribe(store: Store) -> None:
    store.mailboxes.subscribe("Somewhere")


OPERATIONS = (
    deliver, append_one, append_three, copy, move, expunge, set_flags, create, rename, rename_inbox, delete,
    delete_parent, subscribe, maintain,
)  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: str(operation.__name__))
def test_all_or_nothing(
    operation: Operation, template: Template, tmp_path: Path, cheap_hash: None, event_lines: list[str]
) -> None:
    """Wholly done or not at all, and done when it was acknowledged."""

    def prepare(home: Path) -> Callable[[], None]:
        store = opened(account.unlock(home, PASSWORD))
        return lambda: operation(store)

    after = _result(operation, template, tmp_path)
    steps = _matrix(template.home, tmp_path, prepare, lambda home, acknowledged: _settled(
        home, template, (after,) if acknowledged else (template.before, after), event_lines
    ))  # fmt: skip
    assert steps > 1


def test_filing(template: Template, tmp_path: Path, cheap_hash: None, event_lines: list[str]) -> None:
    """Three deliveries were acknowledged before: whatever happens to their filing, each is there once."""
    arrived = copied(template.home, tmp_path / "arrived")
    for word, mailbox in (("new1", "INBOX"), ("new2", "Work"), ("new3", "Nowhere")):
        put_in(arrived, message(word), mailbox, ("\\Flagged",))

    def prepare(home: Path) -> Callable[[], None]:
        store = opened(account.unlock(home, PASSWORD))
        return lambda: file_three(store)

    after = _result(file_three, replace(template, home=arrived), tmp_path)
    assert sum(map(len, after.values())) == sum(map(len, template.before.values())) + 3
    assert _matrix(arrived, tmp_path, prepare, lambda home, _done: _settled(home, template, (after,), event_lines)) > 6


def test_opening_after_a_crash_may_crash(
    template: Template, tmp_path: Path, cheap_hash: None, event_lines: list[str]
) -> None:
    """A row is committed, its file still in `tmp/`: finishing that is killed at each of its steps too."""

    def prepare_append(home: Path) -> Callable[[], None]:
        store = opened(account.unlock(home, PASSWORD))
        return lambda: append_three(store)

    after = _result(append_three, template, tmp_path)
    interrupted = None
    for step in range(1, MOST_STEPS):
        home = copied(template.home, tmp_path / f"interrupted-{step}")
        outcome = run_until(step, lambda home=home: prepare_append(home))  # type: ignore[misc]
        if outcome.step == "committed":
            interrupted = home
            break
    assert interrupted is not None

    def prepare(home: Path) -> Callable[[], None]:
        return lambda: opened(account.unlock(home, PASSWORD)).close()

    check = lambda home, _done: _settled(home, template, (after,), event_lines)  # noqa: E731
    assert _matrix(interrupted, tmp_path, prepare, check) > 6


def test_key_rotation(template: Template, tmp_path: Path, cheap_hash: None, event_lines: list[str]) -> None:
    """Next month's pairs are half made: mail is delivered and read all the same."""
    later = time.time() + 40 * DAY

    def prepare(home: Path) -> Callable[[], None]:
        unlocked = account.unlock(home, PASSWORD)
        keys = KeyStore(unlocked.layout, unlocked.master, unlocked.user.account_id)
        return lambda: keys.rotate(unlocked.user.keys, later)

    def check(home: Path, _done: bool) -> None:
        put_in(home, message("new"))
        store = opened(account.unlock(home, PASSWORD))
        store.file_arrivals()
        found = contents(store)
        store.close()
        new = {uid: one for uid, one in found["INBOX"].items() if uid not in template.before["INBOX"]}
        assert [one.digest for one in new.values()] == [digest(message("new"))]
        _settled(home, template, (found,), event_lines)
        keys = KeyStore(store.components.layout, template.unlocked.master, template.unlocked.user.account_id)
        keys.rotate(template.unlocked.user.keys, later)
        names = {path.name for path in store.components.layout.keys.iterdir()}
        assert len(names) == 4
        assert {path.name for path in store.components.layout.keys_copy.iterdir()} == names

    assert _matrix(template.home, tmp_path, prepare, check) > 10


def test_changing_the_password(template: Template, tmp_path: Path, cheap_hash: None, event_lines: list[str]) -> None:
    """At every step the old or the new password works, and once it is done only the new one."""
    user, master = template.unlocked.user, template.unlocked.master
    old = user.slot[0]
    wrapped = slots.new_password_slot(master, "new password", user.account_id, CHEAP)
    slot = slot_of(wrapped, "password", old.created, old.created)
    changed = type(user)(user.version, user.id, (slot,), user.keys).signed(master)

    def prepare(home: Path) -> Callable[[], None]:
        layout = account.unlock(home, PASSWORD).layout
        return lambda: account.save(layout, changed)

    def check(home: Path, done: bool) -> None:
        working = [password for password in (PASSWORD, "new password") if _opens(home, password)]
        assert working == ["new password"] if done else working
        event_lines.clear()  # the copy that was not yet written was used: that is said
        _settled(home, template, (template.before,), event_lines, password=working[-1])

    assert _matrix(template.home, tmp_path, prepare, check) > 8


def test_creating_an_account(tmp_path: Path, cheap_hash: None, event_lines: list[str]) -> None:
    """Killed while the account is made: it opens, or it can be made again in the same place."""
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o700)

    def prepare(home: Path) -> Callable[[], None]:
        return lambda: opened(account.create(home, PASSWORD, CHEAP)).close()

    def check(home: Path, _done: bool) -> None:
        if not (home / "user.toml").exists():
            account.create(home, PASSWORD, CHEAP)
        store = opened(account.unlock(home, PASSWORD))
        put_in(home, message("first"))
        store.file_arrivals()
        assert [one.digest for one in contents(store)["INBOX"].values()] == [digest(message("first"))]
        assert len(store.mailboxes.all()) == 6
        store.close()
        assert not [line for line in event_lines if any(word in line for word in ALARMING)]

    assert _matrix(empty, tmp_path, prepare, check) > 30


def test_backups_are_whole(template: Template, tmp_path: Path, cheap_hash: None) -> None:
    """Killed anywhere in maintenance, each backup that has its name opens and holds everything."""

    def prepare(home: Path) -> Callable[[], None]:
        store = opened(account.unlock(home, PASSWORD))
        return lambda: maintenance.back_up(store.components, time.time())

    def check(home: Path, done: bool) -> None:
        found = backups(account.unlock(home, PASSWORD).layout)
        assert len(found) == 1 if done else len(found) <= 1
        key = derive(template.unlocked.master, "meta.db")
        for path in found:
            database = Database(path, key, "meta", durable=True, busy_seconds=1)
            assert database.intact()
            assert database.value("SELECT count(*) FROM entries") == sum(map(len, template.before.values()))
            database.close()

    assert _matrix(template.home, tmp_path, prepare, check) > 3


def test_starting_over_from_a_backup(
    template: Template, tmp_path: Path, cheap_hash: None, event_lines: list[str]
) -> None:
    """meta.db is useless; whoever puts the backup in its place is killed at each step: no mail is lost."""
    broken = copied(template.home, tmp_path / "broken")
    store = opened(account.unlock(broken, PASSWORD))
    maintenance.back_up(store.components, time.time())
    append(store, message("after the backup"))
    store.close()
    (broken / "meta.db").write_bytes(b"\0" * 4096)
    wanted = [one.digest for held in template.before.values() for one in held.values()]
    wanted.append(digest(message("after the backup")))

    def prepare(home: Path) -> Callable[[], None]:
        return lambda: opened(account.unlock(home, PASSWORD)).close()

    def check(home: Path, _done: bool) -> None:
        store = opened(account.unlock(home, PASSWORD))
        assert maintenance.run(store.components, time.time(), force=True)
        found = contents(store)
        assert sorted(one.digest for held in found.values() for one in held.values()) == sorted(wanted)
        assert not set(identities(store).values()) & set(template.identities.values())
        store.close()

    assert _matrix(broken, tmp_path, prepare, check) > 5


# The frame


def _matrix(
    source: Path,
    tmp_path: Path,
    prepare: Callable[[Path], Callable[[], None]],
    check: Callable[[Path, bool], None],
) -> int:
    """Kill at each step of the operation on a fresh copy of `source`, and check; the number of steps."""
    for step in range(1, MOST_STEPS):
        home = copied(source, tmp_path / f"step-{step}")
        outcome = run_until(step, lambda home=home: prepare(home))  # type: ignore[misc]
        try:
            check(home, outcome.acknowledged)
        except BaseException as error:
            error.add_note(f"killed at step {step}: {outcome.step or 'not at all'}")
            raise
        if not outcome.killed:
            return step - 1
    raise AssertionError("the operation does not end")


def _result(operation: Operation, template: Template, tmp_path: Path) -> Contents:
    """What is there when nobody is killed."""
    home = copied(template.home, tmp_path / "unharmed")
    store = opened(account.unlock(home, PASSWORD))
    operation(store)
    store.file_arrivals()
    found = contents(store)
    store.close()
    return found


def _settled(
    home: Path,
    template: Template,
    allowed: tuple[Contents, ...],
    event_lines: list[str],
    password: str = PASSWORD,
) -> None:
    """One of the allowed states, now and after maintenance; nothing half, nothing orphaned, nothing renumbered."""
    unlocked = account.unlock(home, password)
    store = opened(unlocked)
    store.file_arrivals()
    found = contents(store)
    assert found in allowed
    _unchanged_identities(store, template)
    store.close()
    now = time.time()
    for moment in (now, now + 3 * DAY):
        store = opened(unlocked)
        assert maintenance.run(store.components, moment, force=True)
        assert contents(store) == found
        _unchanged_identities(store, template)
        _nothing_half(store, purged=moment > now)
        assert all(backup.stat().st_size for backup in backups(store.components.layout))
        store.close()
    assert not left_in(unlocked.layout.tmp)
    assert not unlocked.layout.damaged.exists()
    assert not [line for line in event_lines if any(word in line for word in ALARMING)]


def _nothing_half(store: Store, *, purged: bool) -> None:
    """Every row has its file in its place (one that is to be purged may have lost it), every file its row."""
    rows = {
        bytes(file).hex(): copies
        for file, copies in store.components.meta.db.execute("SELECT file, copies FROM messages")
    }
    on_disk = {path.parent.name + path.name for path in store.components.layout.messages.glob("*/*")}
    assert {name for name, copies in rows.items() if copies or purged} <= on_disk <= set(rows)
    assert not list(store.components.layout.new.iterdir())
    assert not store.components.entries.unplaced()


def _unchanged_identities(store: Store, template: Template) -> None:
    for object_id, uidvalidity in identities(store).items():
        assert template.identities.get(object_id, uidvalidity) == uidvalidity, "UIDVALIDITY changed"


def _opens(home: Path, password: str) -> bool:
    """Whether a login works, tried on a copy: a login repairs things."""
    trial = copied(home, home.with_name(f"{home.name}-trial-{len(list(home.parent.iterdir()))}"))
    try:
        account.unlock(trial, password)
    except BadCredentials:
        return False
    return True


def test_the_seam_is_silent_in_service() -> None:
    files.checkpoint("anything")
