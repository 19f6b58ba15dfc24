"""QRESYNC (RFC 7162) after 1, 100 and 10,000 changes, and where expunges have been pruned.

The reference is a client that forgets everything and reads the whole mailbox again: who resynchronises
must know the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crymapd.imap import update
from crymapd.imap.command.mailbox import Resync, Select
from crymapd.imap.handler.mailbox import handle_select
from crymapd.imap.session import Session
from crymapd.model.numbers import Uid
from crymapd.model.sequence import Range
from crymapd.store.mailboxes import Mailbox
from tests.testlib.answers import Exists, Expunge, Fetch, Numbers, Status, Vanished
from tests.testlib.client import Client, Result
from tests.testlib.server import Server, running
from tests.testlib.stores import StoreOpener, append, message

MESSAGES = 16_384
USERS = ("small", "large", "pruned", "asleep")
Known = dict[int, frozenset[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("resync") / "root", users=USERS) as started:
        yield started
        assert "BUG" not in started.log()


@dataclass(slots=True)
class Cache:
    """What an offline client remembers."""

    uidvalidity: int = 0
    modseq: int = 1
    flags: Known = field(default_factory=dict)

    def refresh(self, client: Client, *more: str) -> Result:
        """SELECT with QRESYNC, and all that it tells taken over."""
        arguments = " ".join([str(self.uidvalidity), str(self.modseq), *more])
        result = client.ok(f"SELECT INBOX (QRESYNC ({arguments}))")
        self.take(result)
        return result

    def take(self, result: Result) -> None:
        seen_fetch = False
        for response in result.untagged:
            if isinstance(response, Vanished):
                assert response.earlier and not seen_fetch
                for first, last in response.uids.ranges:
                    self.forget(first, last)
            elif isinstance(response, Fetch):
                seen_fetch = True
                self.flags[response.uid] = response.flags - {"\\Recent"}
        self.modseq = number(result, "HIGHESTMODSEQ")
        self.uidvalidity = number(result, "UIDVALIDITY")

    def forget(self, first: int, last: int) -> None:
        for uid in range(first, last + 1) if last - first < len(self.flags) else list(self.flags):
            if first <= uid <= last:
                self.flags.pop(uid, None)


def number(result: Result, code: str) -> int:
    value = result.codes()[code].value
    assert isinstance(value, int)
    return value


def qresync(server: Server, user: str) -> Client:
    client = server.client(user)
    client.ok("ENABLE QRESYNC")
    return client


def fill(client: Client, count: int) -> None:
    """A power of two of messages: one, and copies of copies."""
    client.ok("APPEND INBOX {+}", b"Subject: one\r\n\r\n")
    while client.ok("SELECT INBOX").one(Exists).count < count:
        client.ok("COPY 1:* INBOX")


def truth(client: Client) -> Known:
    """Everything, read anew."""
    if not client.ok("SELECT INBOX").one(Exists).count:
        return {}
    return {fetch.uid: fetch.flags - {"\\Recent"} for fetch in client.ok("UID FETCH 1:* FLAGS").all(Fetch)}


def first_cache(client: Client) -> Cache:
    result = client.ok("SELECT INBOX")
    return Cache(number(result, "UIDVALIDITY"), number(result, "HIGHESTMODSEQ"), truth(client))


def test_after_one_change_and_after_a_hundred(server: Server) -> None:
    with qresync(server, "small") as client, server.client("small") as other:
        fill(other, 256)
        cache = first_cache(client)
        client.ok("UNSELECT")
        other.ok("SELECT INBOX")
        other.ok("STORE 7 +FLAGS.SILENT (\\Seen)")
        result = cache.refresh(client)
        assert [fetch.uid for fetch in result.all(Fetch)] == [7] and not result.all(Vanished)
        assert cache.flags == truth(client)
        client.ok("UNSELECT")
        for uid in range(1, 200, 2):
            command = f"XVANQUISH {uid}" if uid % 3 else f"UID STORE {uid} +FLAGS.SILENT (\\Answered)"
            other.ok(command)
        result = cache.refresh(client, "1:256", "(1,100,200 1,100,200)")
        gone = result.one(Vanished)
        assert gone.earlier and len(gone.uids) + len(result.all(Fetch)) == 100
        assert cache.flags == truth(client)
        assert result.one(Exists).count == len(cache.flags)


def test_after_ten_thousand_changes(server: Server) -> None:
    with qresync(server, "large") as client, server.client("large") as other:
        fill(other, MESSAGES)
        cache = first_cache(client)
        assert len(cache.flags) == MESSAGES
        old = Cache(cache.uidvalidity, cache.modseq, dict(cache.flags))
        client.ok("UNSELECT")
        other.ok("STORE 1:5000 +FLAGS.SILENT (\\Flagged)")
        other.ok("XVANQUISH 2000:4999,9001:11000")
        other.ok("APPEND INBOX {+}", b"Subject: new\r\n\r\n")
        result = cache.refresh(client)
        assert result.one(Vanished).uids == Numbers(((2000, 4999), (9001, 11000)))
        assert len(result.all(Fetch)) == 2000 + 1
        assert cache.flags == truth(client)
        # The first numbers of the FETCHes are right: they are used at once.
        assert client.ok("FETCH 2000 UID").one(Fetch).uid == 5000
        client.ok("UNSELECT")
        # UID FETCH (CHANGEDSINCE VANISHED) says the same as SELECT.
        client.ok("SELECT INBOX")
        result = client.ok(f"UID FETCH 1:* FLAGS (CHANGEDSINCE {old.modseq} VANISHED)")
        assert result.one(Vanished).uids == Numbers(((2000, 4999), (9001, 11000)))
        # Each change on its own: ten thousand steps of the modseq.
        other.ok("SELECT INBOX")
        tags = [other.send(f"STORE {at} -FLAGS.SILENT (\\Flagged)") for at in range(1, 1001)]
        assert all(other.finish(tag).status == "OK" for tag in tags)
        before = cache.modseq
        client.ok("UNSELECT")
        cache.refresh(client)
        assert cache.modseq == before + 1000 and cache.flags == truth(client)


def test_where_expunges_have_been_pruned(server: Server) -> None:
    """Of a mailbox only the last 20,000 expunges are remembered: who asks for older ones gets all that is not there."""
    with qresync(server, "pruned") as client:
        with server.client("pruned") as other:
            fill(other, 2 * MESSAGES)
            cache = first_cache(client)
            assert len(cache.flags) == 2 * MESSAGES
            client.ok("UNSELECT")
            other.ok("XVANQUISH 5:12004")
            middle = Cache(cache.uidvalidity, number(other.ok("SELECT INBOX"), "HIGHESTMODSEQ"), truth(other))
            # An old modseq, but a sample that proves that it knows of the first expunge.
            sampled = Cache(cache.uidvalidity, cache.modseq, dict(middle.flags))
            other.ok("XVANQUISH 12105:24104")
            late = Cache(cache.uidvalidity, number(other.ok("SELECT INBOX"), "HIGHESTMODSEQ"), truth(other))
            other.ok("STORE 1 +FLAGS.SILENT (\\Seen)")
        prune(server, "pruned")
        expected = truth(client)
        client.ok("UNSELECT")
        second = (12105, 24104)
        for known, more, gone in (
            (late, (), ()),
            (middle, (), (second,)),
            (cache, (), ((5, 12004), second)),
            (sampled, ("1:32768", "(4:6 4,12005:12006)"), (second,)),
        ):
            result = known.refresh(client, *more)
            assert known.flags == expected
            assert [vanished.uids.ranges for vanished in result.all(Vanished)] == ([gone] if gone else [])
            client.ok("UNSELECT")


def test_a_session_that_slept_through_it_is_let_go(server: Server) -> None:
    """It cannot be told of expunges that nobody remembers; a wrong count would be worse."""
    with server.client("asleep") as sleeper:
        with server.client("asleep") as other:
            fill(other, 2 * MESSAGES)
            sleeper.ok("SELECT INBOX")
            other.ok("XVANQUISH 5:6")
            other.ok("XVANQUISH 7:30000")
        prune(server, "asleep")
        sleeper.send("NOOP")
        answer = sleeper.read_response()
        assert isinstance(answer, Status) and answer.status == "BYE", answer
    with server.client("asleep") as again:
        assert again.ok("SELECT INBOX").one(Exists).count == 2 * MESSAGES - 29996
        assert not again.ok("NOOP").all(Expunge)


def prune(server: Server, user: str) -> None:
    """The daily maintenance, now: a login starts it when it is due."""
    done = server.root / "users" / user / "maintained"
    done.unlink(missing_ok=True)
    with server.client(user) as client:
        deadline = time.monotonic() + 60
        while not done.exists():
            assert time.monotonic() < deadline, server.log()
            client.ok("NOOP")


def test_an_expunge_between_select_and_its_answer(home: Path, open_store: StoreOpener) -> None:
    """Another session is faster than the resynchronisation: numbers are those of the EXISTS just told."""
    store, other = open_store(home), open_store(home)
    for word in ("one", "two", "three"):
        append(store, message(word))
    inbox = store.mailboxes.get("INBOX")
    sent: list[bytes] = []
    session = Session(sent.append, lambda _credentials: store, store_or_none=store, qresync=True, condstore=True)
    plain = store.components.entries.vanished

    def slow(mailbox: Mailbox, since: int, within: Sequence[Range[Uid]]) -> list[Range[Uid]]:
        other.components.entries.expunge(inbox.id, [(Uid(1), Uid(1))], only_deleted=False)
        return plain(mailbox, since, within)

    store.components.entries.vanished = slow  # type: ignore[method-assign]  # the moment between two transactions
    handle_select(session, Select("INBOX", False, False, Resync(inbox.uidvalidity, 2, None)))
    lines = b"".join(sent)
    assert b"* 3 EXISTS\r\n" in lines and b"VANISHED" not in lines
    assert b"* 2 FETCH (UID 2 " in lines and b"* 3 FETCH (UID 3 " in lines
    sent.clear()
    update.tell(session, expunges=True)
    assert b"".join(sent) == b"* VANISHED 1\r\n"
