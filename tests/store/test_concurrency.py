"""Ten processes at one store: 10,000 random operations, and in the end nobody was told a thing that is not so."""

from __future__ import annotations

import os
import pickle
import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crymapd import log as crymapd_log
from crymapd.errors import StoreBusy
from crymapd.model.flags import StoreMode
from crymapd.model.numbers import Uid
from crymapd.model.sequence import Range, ranges_of
from crymapd.store import account, maintenance
from crymapd.store.account import Unlocked
from crymapd.store.epoch import EpochFile
from crymapd.store.store import Store
from crymapd.store.view import View
from tests.testlib.stores import (
    CHEAP,
    EVERY,
    PASSWORD,
    StoreOpener,
    append,
    contents,
    digest,
    identities,
    message,
    opened,
    put_in,
    stored,
)

PROCESSES = 10
OPERATIONS = 1000
BOXES = ("INBOX", "Archive")
FLAGS = ("\\Seen", "\\Deleted", "\\Flagged", "$One", "$Two")

Place = tuple[str, int]
"""Mailbox and UID."""


@dataclass
class Log:
    """What one process was told.

    Attributes:
        appended: where it was told that its message is, and the digest.
        copied: new place -> the place it is a copy of (COPY and MOVE).
        expunged: places it was told it has emptied (EXPUNGE and MOVE).
        delivered: digests of messages whose delivery was acknowledged.
        views: mailbox -> what its session believes in the end: UIDs and their flags.
        lines: events of the store.
        failures: tracebacks.
    """

    appended: dict[Place, str] = field(default_factory=dict)
    copied: dict[Place, Place] = field(default_factory=dict)
    expunged: list[Place] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    views: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Session:
    """One process: a store, and for each mailbox a view that is kept up to date by what is announced."""

    def __init__(self, unlocked: Unlocked, number: int, log: Log) -> None:
        self.unlocked = unlocked
        self.random = random.Random(number)
        self.number = number
        self.log = log
        self.open()

    def open(self) -> None:
        self.store = opened(self.unlocked)
        self.views: dict[str, View] = {}
        self.flags: dict[str, dict[int, tuple[str, ...]]] = {}
        for name in BOXES:
            view = self.store.select(name, read_only=True)
            rows = self.store.components.entries.entries(view.mailbox.id, [(Uid(1), Uid(view.told.next_uid - 1))])
            flags = {
                uid: tuple(self.store.components.meta.flagsets.flags_of(flagset).split())
                for uid, flagset, _modseq in rows
            }
            # Between the view and the flags somebody may have expunged: a view counts what it has not been told of.
            self.flags[name] = {uid: flags.get(uid, ()) for uid in view.uids}
            self.views[name] = view

    def poll(self, name: str) -> None:
        """What `imap/update.py` does: tell arrivals, flags and expunges."""
        self.store.file_arrivals()
        view, flags = self.views[name], self.flags[name]
        changes = self.store.components.entries.changes(view.mailbox.id, view.told.modseq, view.told.expunged)
        assert not changes.gone and changes.modseq >= view.told.modseq and changes.next_uid >= view.told.next_uid
        numbers = view.remove(changes.expunged)
        assert len(numbers) == len({uid for uid in changes.expunged if uid in flags}), (
            "an expunge of an unknown message"
        )
        for uid in changes.expunged:
            flags.pop(uid, None)
        new = [uid for uid, _flagset, _modseq in changes.changed if uid >= view.told.next_uid]
        assert new == sorted(set(new))
        view.add(new)
        for uid, flagset, _modseq in changes.changed:
            assert uid >= view.told.next_uid or uid in flags, "flags of a message never announced"
            flags[uid] = tuple(self.store.components.meta.flagsets.flags_of(flagset).split())
        view.told.modseq = view.told.expunged = changes.modseq
        view.told.next_uid = changes.next_uid
        assert list(view.uids) == sorted(flags)
        assert view.exists == len(flags)

    def one(self, count: int) -> None:
        """A random operation."""
        name = self.random.choice(BOXES)
        ((operation, _weight),) = self.random.choices(CHOICES, [weight for _operation, weight in CHOICES])
        operation(self, name, f"p{self.number}-{count}")

    def append(self, name: str, word: str) -> None:
        octets = message(word, self.random.choice((200, 2000)))
        uid = append(self.store, octets, name, self.some_flags())
        self.log.appended[name, uid] = digest(octets)

    def deliver(self, name: str, word: str) -> None:
        octets = message(word)
        put_in(self.store.components.layout.home, octets, name, self.some_flags())
        self.log.delivered.append(digest(octets))

    def copy(self, name: str, _word: str) -> None:
        target = self.random.choice(BOXES)
        source, copy = self.views[name].mailbox.id, self.views[target].mailbox.id
        _uidvalidity, old, new = self.store.components.entries.copy(source, self.some(name), copy)
        assert len(old) == len(new)
        self.log.copied |= {(target, to): (name, origin) for origin, to in zip(old, new, strict=True)}

    def move(self, name: str, _word: str) -> None:
        target = self.random.choice(BOXES)
        source, copy = self.views[name].mailbox.id, self.views[target].mailbox.id
        _uidvalidity, old, new = self.store.components.entries.move(source, self.some(name), copy)
        self.log.copied |= {(target, to): (name, origin) for origin, to in zip(old, new, strict=True)}
        self.log.expunged += [(name, uid) for uid in old]

    def expunge(self, name: str, _word: str) -> None:
        gone = self.store.components.entries.expunge(self.views[name].mailbox.id, EVERY)
        self.log.expunged += [(name, uid) for uid in gone]

    def set_flags(self, name: str, _word: str) -> None:
        mode = self.random.choice(tuple(StoreMode))
        result = self.store.components.entries.store(
            self.views[name].mailbox.id, self.some(name), mode, frozenset(self.some_flags())
        )
        assert list(result.entries.uids) == sorted(result.entries.uids)

    def look(self, name: str, _word: str) -> None:
        self.poll(name)

    def read(self, name: str, _word: str) -> None:
        """Any message that the view counts can be read, expunged meanwhile or not."""
        for uid in self.random.sample(list(self.views[name].uids), min(2, len(self.views[name].uids))):
            rows = stored(self.store, self.views[name].mailbox.id, [(uid, uid)])
            row = rows[0] if rows else self.store.components.entries.expunged(self.views[name].mailbox.id, uid)
            assert row is not None
            with self.store.read(row[4]) as read:
                assert not read.is_note

    def reopen(self, _name: str, _word: str) -> None:
        self.store.close()
        self.open()

    def some(self, name: str) -> list[Range[Uid]]:
        uids = list(self.views[name].uids)
        return ranges_of(sorted(self.random.sample(uids, min(len(uids), self.random.randint(1, 5)))))

    def some_flags(self) -> list[str]:
        return self.random.sample(FLAGS, self.random.randint(0, 2))


Choice = tuple[Callable[[Session, str, str], None], int]
CHOICES: tuple[Choice, ...] = (
    (Session.append, 14), (Session.deliver, 10), (Session.copy, 8), (Session.move, 8), (Session.expunge, 6),
    (Session.set_flags, 20), (Session.look, 20), (Session.read, 12), (Session.reopen, 2),
)  # fmt: skip


def test_ten_processes(tmp_path: Path, cheap_hash: None, event_lines: list[str]) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    unlocked = account.create(home, PASSWORD, CHEAP)
    store = opened(unlocked)
    before = identities(store)
    store.close()
    logs = _run(unlocked, tmp_path)
    assert not [failure for log in logs for failure in log.failures]
    assert not [line for log in logs for line in log.lines]
    store = opened(unlocked)
    assert store.file_arrivals() == 0
    assert identities(store) == before
    _compare(store, logs)
    views = [log.views for log in logs]
    final = {name: {uid: held.flags for uid, held in contents(store)[name].items()} for name in BOXES}
    assert all(view == final for view in views)
    assert maintenance.run(store.components, store.components.layout.meta.stat().st_mtime, force=True)
    assert identities(store) == before
    store.close()
    assert not event_lines


def _compare(store: Store, logs: list[Log]) -> None:
    """The store against the model: what everybody was told, put together."""
    found = contents(store)
    ids = {name: store.mailboxes.get(name) for name in BOXES}
    appended = {place: content for log in logs for place, content in log.appended.items()}
    copied = {place: origin for log in logs for place, origin in log.copied.items()}
    expunged = [place for log in logs for place in log.expunged]
    assert len(appended) == sum(len(log.appended) for log in logs), "one UID was given out twice"
    assert len(copied) == sum(len(log.copied) for log in logs), "one UID was given out twice"
    assert not set(appended) & set(copied)
    assert len(set(expunged)) == len(expunged), "one message was expunged by two"
    of_message = dict(store.components.meta.db.execute("SELECT id, file FROM messages"))
    digests = {}
    for number in of_message:
        with store.read(number) as read:
            digests[number] = digest(read.octets())
    everything: dict[Place, str] = {}
    for name, box in ids.items():
        gone = dict(store.components.meta.db.execute("SELECT uid, message FROM expunges WHERE mailbox = ?", (box.id,)))
        now = dict(store.components.meta.db.execute("SELECT uid, message FROM entries WHERE mailbox = ?", (box.id,)))
        assert sorted([*gone, *now]) == list(range(1, box.next_uid)), "UIDs are given once, and none is left out"
        assert {(name, uid) for uid in gone} == {place for place in expunged if place[0] == name}
        everything |= {(name, uid): digests[number] for uid, number in (gone | now).items()}
        assert {uid: held.digest for uid, held in found[name].items()} == {uid: digests[m] for uid, m in now.items()}
    for place, content in appended.items():
        assert everything[place] == content
    for place, origin in copied.items():
        assert everything[place] == everything[origin]
    filed = Counter(content for place, content in everything.items() if place not in appended and place not in copied)
    assert filed == Counter(content for log in logs for content in log.delivered), "each delivery is filed once"


def _run(unlocked: Unlocked, tmp_path: Path) -> list[Log]:
    """All processes until each has done its share; then each looks once more, when all the others have finished."""
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    children = []
    for number in range(PROCESSES):
        child = os.fork()
        if child == 0:
            os.close(go_write)
            _child(unlocked, number, tmp_path / f"log-{number}", ready_write, go_read)
        children.append(child)
    os.close(ready_write)
    os.close(go_read)
    with os.fdopen(ready_read, "rb") as ready:
        assert ready.read(PROCESSES) == b"." * PROCESSES
    os.close(go_write)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    return [pickle.loads((tmp_path / f"log-{number}").read_bytes()) for number in range(PROCESSES)]


def _child(unlocked: Unlocked, number: int, output: Path, ready: int, go: int) -> None:
    log = Log()
    crymapd_log.sink = lambda _severity, line: log.lines.append(line)
    try:
        try:
            session = Session(unlocked, number, log)
            for count in range(OPERATIONS):
                session.one(count)
        finally:
            os.write(ready, b".")
        os.read(go, 1)  # ends when the parent closes it
        session.store.file_arrivals()
        for name in BOXES:
            session.poll(name)
        log.views = session.flags
        session.store.close()
    except BaseException:
        log.failures.append(traceback.format_exc())
    finally:
        output.write_bytes(pickle.dumps(log))
        os._exit(0)


def test_a_lock_held_too_long_is_said(home: Path, monkeypatch: pytest.MonkeyPatch, cheap_hash: None) -> None:
    """SQLite orders the writers; who waits in vain is told so and can try again."""
    unlocked = account.unlock(home, PASSWORD)
    monkeypatch.setattr("crymapd.store.restoring.BUSY_SECONDS", 0.001)
    one, other = opened(unlocked), opened(unlocked)
    with one.components.meta.change(), pytest.raises(StoreBusy) as caught:
        other.mailboxes.create("Later")
    assert not caught.value.permanent
    other.mailboxes.create("Later")
    assert one.mailboxes.get("Later").selectable
    one.close()
    other.close()


def test_opening_while_another_commits(
    home: Path, monkeypatch: pytest.MonkeyPatch, open_store: StoreOpener, event_lines: list[str]
) -> None:
    """A commit just before and just after `epoch` is read is no older database: nothing is renumbered."""
    sibling = open_store(home)
    before = identities(sibling)
    look = vars(EpochFile)["changes"].fget

    def changes(self: EpochFile) -> int:
        if self is not sibling.components.meta._epochs[0]:
            sibling.mailboxes.subscribe("Before")
        seen = look(self)
        if self is not sibling.components.meta._epochs[0]:
            sibling.mailboxes.subscribe("After")
        return int(seen)

    monkeypatch.setattr(EpochFile, "changes", property(changes))
    assert identities(open_store(home)) == before
    assert sibling.mailboxes.subscriptions()[:1] == ["After"]
    assert not event_lines
