"""Every file of a store removed, cut, flipped and exchanged: the damage stays with that file, and is said.

What is read then comes through the same door as a login: `account.unlock`, `Store`, filing, every message.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from crymapd.errors import AccountUnavailable, AccountUnusable, BadCredentials, Damaged, NoDeliveryKey
from crymapd.model.flags import StoreMode
from crymapd.store import account, maintenance
from crymapd.store.layout import Layout
from crymapd.store.store import Store
from tests.testlib.stores import (
    CHEAP,
    EVERY,
    PASSWORD,
    UNREADABLE,
    Contents,
    StoreOpener,
    append,
    contents,
    copied,
    digest,
    digests,
    identities,
    mailbox_id,
    message,
    opened,
    put_in,
)

BOXES = ("INBOX", "Archive", "Work")
NOTE = digest(UNREADABLE)
LATER = "after the backup"
WAITING = "waiting in new"
Change = Callable[[Path, Path], None]


@dataclass(frozen=True, slots=True)
class Populated:
    """A user directory that is only ever copied.

    Attributes:
        other: another account's directory, for what is exchanged.
        whole: what a client sees in it, the waiting delivery included.
        files: message file -> (mailbox, UID).
        changes: how far the database had counted.
    """

    home: Path
    other: Path
    whole: Contents
    files: dict[str, tuple[str, int]]
    identities: dict[str, int]


@pytest.fixture(scope="module")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Populated:
    """20 messages in three mailboxes, one delivered and not filed, a backup that is older than the last message."""
    home, other = (_populate(tmp_path_factory.mktemp("damage") / name) for name in ("home", "other"))
    whole_home = copied(home, home.parent / "whole")
    store = opened(account.unlock(whole_home, PASSWORD))
    before = _files(store)
    store.file_arrivals()
    found = Populated(home, other, contents(store), before, identities(store))
    store.close()
    return found


def _populate(home: Path) -> Path:
    home.mkdir(mode=0o700)
    store = opened(account.create(home, PASSWORD, CHEAP))
    store.mailboxes.create("Work")
    for number in range(19):
        append(store, message(f"{number} in {home.name}", 400), BOXES[number % 3], ("\\Seen", "$Read")[: number % 3])
    assert maintenance.run(store.components, store.components.layout.meta.stat().st_mtime, force=True)
    append(store, message(LATER), "Work")
    store.catch_up(60)
    store.close()
    put_in(home, message(WAITING), "Archive", ("\\Flagged",))
    return home


def _files(store: Store) -> dict[str, tuple[str, int]]:
    return {
        bytes(file).hex(): (name, uid)
        for name, uid, file in store.components.meta.db.execute(
            "SELECT b.name, e.uid, m.file FROM entries e JOIN messages m ON m.id = e.message"
            " JOIN mailboxes b ON b.id = e.mailbox"
        )
    }


# What can happen to a file; the second path is another file of its kind


def removed(path: Path, _like: Path) -> None:
    path.unlink()


def emptied(path: Path, _like: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path, _like: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def cut_by_one(path: Path, _like: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthened(path: Path, _like: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flipped(path: Path, at: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def flipped_first(path: Path, _like: Path) -> None:
    flipped(path, 0)


def flipped_middle(path: Path, _like: Path) -> None:
    flipped(path, path.stat().st_size // 2)


def flipped_last(path: Path, _like: Path) -> None:
    flipped(path, -1)


def exchanged(path: Path, like: Path) -> None:
    shutil.copyfile(like, path)


def zeroed(path: Path, _like: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


CHANGES: tuple[Change, ...] = (
    removed, emptied, halved, cut_by_one, lengthened, flipped_first, flipped_middle, flipped_last, exchanged, zeroed,
)  # fmt: skip
changes = pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.__name__))


@changes
def test_message_file(
    change: Change, populated: Populated, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """That message becomes a note, every other one is as it was; with the file put back it is there again."""
    for name, (box, uid) in populated.files.items():
        home = copied(populated.home, tmp_path / name)
        path, like = (Layout(home).message(n) for n in (name, next(n for n in populated.files if n != name)))
        content = path.read_bytes()
        change(path, like)
        event_lines.clear()
        store = open_store(home)
        store.file_arrivals()
        found = contents(store)
        assert _differences(found, populated.whole) == [(box, uid)]
        assert found[box][uid].digest == NOTE
        assert found[box][uid].flags == populated.whole[box][uid].flags
        assert any(name[2:16] in line for line in event_lines)
        path.write_bytes(content)
        assert contents(store) == populated.whole
        assert identities(store) == populated.identities
        store.close()


@changes
def test_delivered_file(
    change: Change, populated: Populated, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """A note in INBOX stands for what cannot be opened; nothing else is touched."""
    home = copied(populated.home, tmp_path / "home")
    (path,), (like,) = (list(Layout(directory).new.iterdir()) for directory in (home, populated.other))
    content = path.read_bytes()
    change(path, like)
    store = open_store(home)
    store.file_arrivals()
    found = contents(store)
    wanted = {name: dict(held) for name, held in populated.whole.items()}
    del wanted["Archive"][max(wanted["Archive"])]
    if change is not removed:
        assert any(path.name[:16] in line for line in event_lines)
        uid = max(found["INBOX"])
        assert found["INBOX"].pop(uid).digest == NOTE
    assert found == wanted
    (Layout(home).new if change is removed else Layout(home).message(path.name).parent).joinpath(
        path.name if change is removed else path.name[2:]
    ).write_bytes(content)
    store.file_arrivals()
    assert digests(contents(store)) == digests(populated.whole)


@changes
@pytest.mark.parametrize("name", ["user.toml", "backup/user.toml"])
def test_one_copy_of_user_toml(
    name: str, change: Change, populated: Populated, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """The other copy serves, and both are whole again."""
    home = copied(populated.home, tmp_path / "home")
    content = (home / "user.toml").read_bytes()
    other = copied(populated.other, tmp_path / "other")
    _give_password(other, "other password")
    change(home / name, other / name)
    store = open_store(home)
    store.file_arrivals()
    assert contents(store) == populated.whole
    assert (home / "user.toml").read_bytes() == (home / "backup/user.toml").read_bytes() == content
    said = any("user.toml" in line for line in event_lines)
    assert said or name != "user.toml" or change is cut_by_one  # a line end less means the same


def test_every_bit_of_user_toml(populated: Populated, tmp_path: Path, cheap_hash: None) -> None:
    """With its copy gone: the login says no, or it is the same account."""
    home = copied(populated.home, tmp_path / "home")
    layout = Layout(home)
    right = account.unlock(home, PASSWORD)
    content = layout.user.read_bytes()
    for at in range(len(content)):
        for bit in (0, 3, 6):
            layout.user.write_bytes(content[:at] + bytes((content[at] ^ 1 << bit,)) + content[at + 1 :])
            layout.user_copy.unlink(missing_ok=True)
            try:
                opened = account.unlock(home, PASSWORD)
            except (BadCredentials, AccountUnavailable, AccountUnusable):
                continue
            assert (opened.master, opened.user) == (right.master, right.user), content[at - 20 : at + 1]


def test_both_copies_of_user_toml_gone(populated: Populated, tmp_path: Path, cheap_hash: None) -> None:
    """Nothing can be done but to say so; the mail stays where it is for when a copy is put back."""
    home = copied(populated.home, tmp_path / "home")
    layout = Layout(home)
    content = layout.user.read_bytes()
    layout.user.unlink()
    layout.user_copy.unlink()
    with pytest.raises(AccountUnavailable, match=r"user\.toml.*backup/user\.toml"):
        account.unlock(home, PASSWORD)
    with pytest.raises(NoDeliveryKey):
        put_in(home, message("new"))
    layout.user.write_bytes(content)
    put_in(home, message("new"))
    store = opened(account.unlock(home, PASSWORD))
    store.file_arrivals()
    assert digests(contents(store)) == sorted([*digests(populated.whole), digest(message("new"))])
    store.close()


def test_user_toml_of_another_account_with_the_same_password(
    populated: Populated, tmp_path: Path, open_store: StoreOpener
) -> None:
    """It opens as that account; the right file is not thrown away, and put back it opens everything."""
    home = copied(populated.home, tmp_path / "home")
    content = (home / "user.toml").read_bytes()
    exchanged(home / "user.toml", populated.other / "user.toml")
    store = open_store(home)
    store.close()
    kept = [path for path in home.rglob("*") if path.is_file() and path.read_bytes() == content]
    assert kept
    again = copied(populated.home, tmp_path / "again")
    (again / "user.toml").write_bytes(kept[0].read_bytes())
    store = open_store(again)
    store.file_arrivals()
    assert contents(store) == populated.whole


KEYS = ("external", "internal")


@changes
@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("place", ["keys", "backup/keys"])
def test_one_copy_of_a_key(
    place: str,
    kind: str,
    change: Change,
    populated: Populated,
    tmp_path: Path,
    open_store: StoreOpener,
    event_lines: list[str],
) -> None:
    """Mail delivered before the next login is readable, all other mail too, and the key is whole again."""
    home = copied(populated.home, tmp_path / "home")
    (path,) = (home / place).glob(f"{kind}*")
    content = path.read_bytes().rstrip()  # a line end less means the same
    (like,) = (populated.other / place).glob(f"{kind}*")
    change(path, like)
    if change is not exchanged:  # that one is not noticed without the password, as docs/store.md says
        put_in(home, message("new"), "Work")
    store = open_store(home)
    store.file_arrivals()
    found = contents(store)
    if change is not exchanged:
        assert found["Work"].popitem()[1].digest == digest(message("new"))
    assert found == populated.whole
    one, copy = (home / "keys" / path.name).read_bytes(), (home / "backup/keys" / path.name).read_bytes()
    assert one == copy and one.rstrip() == content
    assert place != "keys" or change is cut_by_one or any(path.name in line for line in event_lines)


def test_exchanged_keys(populated: Populated, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]) -> None:
    """Two key files under each other's name are noticed."""
    home = copied(populated.home, tmp_path / "home")
    one, two = sorted((home / "keys").iterdir())
    shutil.move(one, home / "third")
    shutil.move(two, one)
    shutil.move(home / "third", two)
    store = open_store(home)
    store.file_arrivals()
    assert contents(store) == populated.whole
    assert len([line for line in event_lines if "restored" in line]) == 2


def test_both_copies_of_a_key_gone(
    populated: Populated, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """Filed mail does not need it; what waits becomes a note that names it, and is readable with the key put back."""
    home = copied(populated.home, tmp_path / "home")
    (path,) = (home / "keys").glob("external*")
    content = path.read_bytes()
    path.unlink()
    (home / "backup/keys" / path.name).unlink()
    store = open_store(home)
    store.file_arrivals()
    found = contents(store)
    assert digests(found).count(NOTE) == 1
    assert digests(populated.whole) == sorted({*digests(found), digest(message(WAITING))} - {NOTE})
    assert event_lines
    store.close()
    for place in ("keys", "backup/keys"):
        (home / place / path.name).write_bytes(content)
    store = open_store(home)
    assert digests(contents(store)) == digests(populated.whole)


@changes
@pytest.mark.parametrize("name", ["index.db", "epoch", "maintained", "lock", "backup/meta.db"])
def test_what_can_be_made_again(
    name: str, change: Change, populated: Populated, tmp_path: Path, open_store: StoreOpener
) -> None:
    """Nothing is missing and nothing is renumbered."""
    home = copied(populated.home, tmp_path / "home")
    paths = [
        next(directory.glob(Path(name).name + "*"))
        for directory in ((home / name).parent, populated.other / Path(name).parent)
    ]
    if not paths[0].stat().st_size and change not in (removed, lengthened):
        return
    change(paths[0], paths[1])
    store = open_store(home)
    store.file_arrivals()
    assert contents(store) == populated.whole
    assert digests(contents(store)) == digests(populated.whole)
    store.close()
    store = open_store(home)
    assert contents(store) == populated.whole
    assert identities(store) == populated.identities


@changes
def test_meta_db(
    change: Change, populated: Populated, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """The backup takes its place; what is newer than the backup comes to INBOX."""
    home = copied(populated.home, tmp_path / "home")
    change(home / "meta.db", populated.other / "meta.db")
    _comes_back(home, populated, open_store, event_lines)


def test_every_page_of_meta_db(
    populated: Populated, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """One bit of a page: the session that meets it is told, and at the latest the next but one has everything."""
    pages = (populated.home / "meta.db").stat().st_size // 4096
    for page in range(pages):
        home = copied(populated.home, tmp_path / f"page-{page}")
        flipped(home / "meta.db", page * 4096 + 1777, 5)
        event_lines.clear()
        _comes_back(home, populated, open_store, event_lines)
        shutil.rmtree(home)


def _comes_back(home: Path, populated: Populated, open_store: StoreOpener, event_lines: list[str]) -> None:
    """A session may fail with a reason of ours, its successor has all mail; files go to `damaged/`, not away."""
    for _attempt in range(2):
        try:
            store = open_store(home)
            store.file_arrivals()
            maintenance.run(store.components, store.components.layout.meta.stat().st_mtime, force=True)
            found = contents(store)
            break
        except Damaged:
            continue
    else:
        store = open_store(home)
        store.file_arrivals()
        found = contents(store)
    assert digests(found) == digests(populated.whole)
    if found != populated.whole:
        assert not set(identities(store).values()) & set(populated.identities.values())
        assert any("meta.db" in line for line in event_lines)
        for box in BOXES:
            kept = {uid: held for uid, held in populated.whole[box].items() if uid in found[box]}
            assert all(found[box][uid].digest in (held.digest, digest(message(WAITING))) for uid, held in kept.items())
    store.close()


def test_older_meta_db(populated: Populated, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]) -> None:
    """Yesterday's database under today's files: new mail comes to INBOX, and clients must forget their UIDs."""
    home = copied(populated.home, tmp_path / "home")
    yesterday = (home / "meta.db").read_bytes()
    store = open_store(home)
    store.file_arrivals()
    for word in ("new1", "new2"):
        append(store, message(word), "Work")
    store.components.entries.store(mailbox_id(store, "Work"), EVERY, StoreMode.ADD, frozenset(("$New",)))
    wanted = digests(contents(store))
    store.close()
    (home / "meta.db").write_bytes(yesterday)
    store = open_store(home)
    assert maintenance.run(store.components, store.components.layout.meta.stat().st_mtime, force=True)
    found = contents(store)
    assert digests(found) == wanted
    inbox = [held.digest for held in found["INBOX"].values()]
    assert {digest(message(word)) for word in ("new1", "new2", WAITING)} <= set(inbox)
    assert identities(store).keys() == populated.identities.keys()
    assert not set(identities(store).values()) & set(populated.identities.values())
    assert any("older" in line for line in event_lines)
    before = identities(store)
    store.close()
    store = open_store(home)
    assert maintenance.run(store.components, store.components.layout.meta.stat().st_mtime, force=True)
    assert identities(store) == before, "once is enough"


def test_meta_db_from_backup_by_hand(
    populated: Populated, tmp_path: Path, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """The administrator copies `backup/meta.db.DAY` over `meta.db`; even `epoch` may be gone."""
    for name in ("with epoch", "without"):
        home = copied(populated.home, tmp_path / name)
        (backup,) = (home / "backup").glob("meta.db.*")
        shutil.copyfile(backup, home / "meta.db")
        if name == "without":
            (home / "epoch").unlink()
        store = open_store(home)
        store.file_arrivals()
        found = contents(store)
        assert digests(found) == digests(populated.whole)
        assert digest(message(LATER)) in [held.digest for held in found["INBOX"].values()]
        assert not set(identities(store).values()) & set(populated.identities.values())
        store.close()
        before = identities(store := open_store(home))
        assert not set(before.values()) & set(populated.identities.values())


def test_index_deleted_while_open(home: Path, open_store: StoreOpener) -> None:
    """Between any two operations, with and without its log."""
    store = open_store(home)
    for number in range(6):
        append(store, message(f"{number}"))
        for suffix in ("", "-wal", "-shm")[: 1 + number % 3]:
            (home / f"index.db{suffix}").unlink(missing_ok=True)
        assert len(contents(store)["INBOX"]) == number + 1
    other = open_store(home)
    (home / "index.db").unlink()
    append(other, message("last"))
    assert contents(other) == contents(store)


def test_write_ahead_log_deleted(home: Path, open_store: StoreOpener, event_lines: list[str]) -> None:
    """A process was killed, then somebody removed `meta.db-wal` with what was committed: no mail is lost."""
    store = open_store(home)
    kept = identities(store)
    for word in ("one", "two"):
        append(store, message(word))
    crashed = home.parent / "crashed"
    shutil.copytree(home, crashed)
    (crashed / "meta.db-wal").unlink()
    (crashed / "meta.db-shm").unlink()
    again = open_store(crashed)
    again.file_arrivals()
    assert maintenance.run(again.components, again.components.layout.meta.stat().st_mtime, force=True)
    assert digests(contents(again)) == sorted(digest(message(word)) for word in ("one", "two"))
    assert not set(identities(again).values()) & set(kept.values())
    assert event_lines


def test_mixture_of_days(populated: Populated, tmp_path: Path, open_store: StoreOpener) -> None:
    """A backup taken while mail moved: files that are in two places, and rows whose file is not there yet."""
    home = copied(populated.home, tmp_path / "home")
    name, _place = next(iter(populated.files.items()))
    path = Layout(home).message(name)
    shutil.copyfile(path, Layout(home).new / name)
    missing = list(populated.files)[1]
    shutil.move(Layout(home).message(missing), home / "taken")
    store = open_store(home)
    store.file_arrivals()
    assert len(_differences(contents(store), populated.whole)) == 1
    shutil.move(home / "taken", Layout(home).new / missing)
    store.file_arrivals()
    assert contents(store) == populated.whole


def _differences(found: Contents, wanted: Contents) -> list[tuple[str, int]]:
    assert found.keys() == wanted.keys()
    places = {(box, uid) for some in (found, wanted) for box in some for uid in some[box]}
    return sorted((box, uid) for box, uid in places if found[box].get(uid) != wanted[box].get(uid))


def _give_password(home: Path, password: str) -> None:
    """Make the account open with another password."""
    from crymapd.crypto import slots
    from crymapd.store.account import slot_of

    unlocked = account.unlock(home, PASSWORD)
    user, old = unlocked.user, unlocked.user.slot[0]
    made = slots.new_password_slot(unlocked.master, password, user.account_id, CHEAP)
    slot = slot_of(made, old.label, old.created, old.changed)
    account.save(unlocked.layout, type(user)(user.version, user.id, (slot,), user.keys).signed(unlocked.master))
