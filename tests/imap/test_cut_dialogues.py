"""A client with QRESYNC whose connection breaks after any line of any answer knows the truth again when it comes back.

The client takes what it is told as RFC 7162 section 6 says: flags and expunges line by line, the modseq when a command is
answered.  After each line of each answer a copy of it comes back with SELECT (QRESYNC ...), and is compared with a client
that reads everything.  Another session changes the mailbox all the while.
"""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crymapd.imap import dispatch
from crymapd.imap.session import Session
from crymapd.store.store import Store
from tests.testlib.answers import Answer, Fetch, Status, Tagged, Vanished
from tests.testlib.framing import ImapFraming, frames
from tests.testlib.grammar import Options, parse
from tests.testlib.stores import StoreOpener, append, message

STEPS = 60
FETCH_ALL = "UID FETCH 1:* (FLAGS)"
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "work")


class Connection:
    """A session without a network."""

    def __init__(self, store: Store) -> None:
        self._sent: list[bytes] = []
        self._session = Session(self._sent.append, lambda _credentials: store, store_or_none=store)
        self.perform("ENABLE QRESYNC")

    def perform(self, line: str) -> list[Answer]:
        """Every line of the answer to a command, which must succeed."""
        self._sent.clear()
        done = dispatch.perform(self._session, dispatch.parse([b"T " + line.encode()], self._session.state))
        assert done.status in ("OK", "NO"), (line, done)
        whole = b"".join(self._sent) + done.line(b"T")
        return [parse(frame, Options()) for frame in frames(whole, ImapFraming())]


@dataclass
class Cache:
    """What a client that was disconnected remembers, and what it has heard since the last tagged response.

    Attributes:
        uidvalidity: of the mailbox.
        modseq: up to which it knows everything.
        flags: by UID.
        synced: messages up to this UID were fetched; those after it, of which EXISTS told, are fetched anew.
        heard: the highest modseq of a FETCH in this command, and the last HIGHESTMODSEQ.
    """

    uidvalidity: int = 0
    modseq: int = 0
    flags: dict[int, frozenset[str]] = field(default_factory=dict)
    synced: int = 0
    heard: list[int] = field(default_factory=lambda: [0, 0])

    def take(self, response: Answer, silent: tuple[str, str] | None = None) -> None:
        """Take over one line; `silent` is the sign and the flag of a STORE whose effect is not told."""
        match response:
            case Vanished(uids=uids):
                for uid in [uid for uid in self.flags if uid in uids]:
                    del self.flags[uid]
            case Fetch():
                uid = response.get("UID", int)
                if "FLAGS" in response:
                    self.flags[uid] = response.flags - {"\\Recent"}
                elif silent is not None:
                    sign, flag = silent
                    before = self.flags.get(uid, frozenset())
                    self.flags[uid] = before | {flag} if sign == "+" else before - {flag}
                if "MODSEQ" in response:
                    self.heard[0] = max(self.heard[0], response.get("MODSEQ", int))
            case Status() | Tagged() if response.code is not None and isinstance(response.code.value, int):
                if response.code.name == "HIGHESTMODSEQ":
                    self.heard[1] = response.code.value
                elif response.code.name == "UIDVALIDITY":
                    self.uidvalidity = response.code.value
            case _:
                pass
        if isinstance(response, Tagged):
            highest, said = self.heard
            self.modseq = said or max(self.modseq, highest)
            self.heard = [0, 0]

    def come_back(self, connection: Connection) -> None:
        """Connect again: what was heard within the answer that broke off does not count."""
        self.heard = [0, 0]
        for response in connection.perform(f"SELECT INBOX (QRESYNC ({self.uidvalidity} {self.modseq}))"):
            self.take(response)
        for response in connection.perform(f"UID FETCH {self.synced + 1}:* (FLAGS)"):
            self.take(response)


def truth(connection: Connection) -> dict[int, frozenset[str]]:
    """Everything, read anew."""
    cache = Cache()
    for line in ("SELECT INBOX", FETCH_ALL):
        for response in connection.perform(line):
            cache.take(response)
    return cache.flags


def some_numbers(choice: random.Random, count: int) -> str:
    low = choice.randint(1, max(1, count))
    return f"{low}:{min(count, low + choice.randint(0, 4))}" if count else "1"


def command(choice: random.Random, exists: int) -> tuple[str, tuple[str, str] | None]:
    """A command of the client, and what a STORE.SILENT changes."""
    numbers, sign, flag = some_numbers(choice, exists), choice.choice("+-"), choice.choice(FLAGS)
    if choice.random() < 0.25:
        return f"STORE {numbers} {sign}FLAGS.SILENT ({flag})", (sign, flag)
    return choice.choice(
        (
            f"STORE {numbers} {sign}FLAGS ({flag})",
            f"UID STORE {choice.randint(1, 40)} {sign}FLAGS ({flag})",
            f"FETCH {numbers} (FLAGS)",
            f"FETCH {numbers} (BODY[1])",
            FETCH_ALL,
            "SEARCH ALL",
            "UID SEARCH RETURN (MIN COUNT) UNSEEN",
            "SORT (ARRIVAL) UTF-8 FLAGGED",
            "THREAD REFERENCES UTF-8 ALL",
            "NOOP",
            "CHECK",
            "EXPUNGE",
            f"COPY {numbers} INBOX",
            f"UID EXPUNGE {choice.randint(1, 40)}",
        )
    ), None


def change_elsewhere(choice: random.Random, store: Store, box: Connection) -> None:
    """What another session does."""
    match choice.randrange(4):
        case 0:
            append(store, message(str(choice.random())), flags=choice.sample(FLAGS, 1))
        case 1:
            box.perform(f"UID STORE {choice.randint(1, 40)} +FLAGS.SILENT ({choice.choice(FLAGS)})")
        case 2:
            box.perform(f"UID STORE {choice.randint(1, 40)} FLAGS.SILENT ({choice.choice(FLAGS)})")
        case _:
            uid = choice.randint(1, 40)
            box.perform(f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)")
            box.perform(f"UID EXPUNGE {uid}")


@pytest.mark.parametrize("seed", range(12))
def test_cut_after_every_line(home: Path, open_store: StoreOpener, seed: int) -> None:
    choice = random.Random(seed)
    stores = [open_store(home) for _number in range(4)]
    client, other, returned, reader = map(Connection, stores)
    for number in range(12):
        append(stores[1], message(str(number)))
    cache = Cache()
    exists = 0
    for response in client.perform("SELECT INBOX") + client.perform(FETCH_ALL):
        cache.take(response)
    cache.synced = max(cache.flags)
    other.perform("SELECT INBOX")
    for step in range(STEPS):
        for _time in range(choice.choice((0, 0, 1, 1, 2))):
            change_elsewhere(choice, stores[1], other)
        exists = len(cache.flags)
        line, silent = command(choice, exists)
        answer = client.perform(line)
        known = truth(reader)
        for cut in range(len(answer) + 1):
            broken = deepcopy(cache)
            for response in answer[:cut]:
                broken.take(response, silent)
            broken.come_back(returned)
            assert broken.flags == known, (seed, step, line, cut, answer)
        for response in answer:
            cache.take(response, silent)
        if line == FETCH_ALL:
            cache.synced = max(cache.flags, default=0)


def test_the_test_sees_a_lost_expunge(home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the HIGHESTMODSEQ that says how much was held back, it fails."""
    monkeypatch.setattr("crymapd.imap.update.note_delay", lambda _session: None)
    with pytest.raises(AssertionError):
        for seed in range(12):
            (home / str(seed)).mkdir()
            test_cut_after_every_line(home, open_store, seed)
