"""What goes wrong with files below the real server costs the message it concerns, and is said; the session goes on."""

from __future__ import annotations

import os
import re
import select
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crymapd.imap.wire.reader import MAX_RANGES
from tests.testlib.answers import Exists, Fetch, Search
from tests.testlib.client import Client
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.process import bounded, workers
from tests.testlib.server import NOBODY, PASSWORD, Server, running
from tests.testlib.stores import LOCKS, UNREADABLE, left_in, message

WORDS = ("first", "second", "third")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("trouble") / "root", users=()) as started:
        yield started
        assert not re.search("BUG|Traceback", started.log())


@pytest.fixture
def user(server: Server, request: pytest.FixtureRequest) -> str:
    """A fresh account for each test."""
    name = "user" + str(abs(hash(request.node.name)))
    server.add_user(name)
    return name


def home(server: Server, user: str) -> Path:
    return server.root / "users" / user


def files(server: Server, user: str) -> list[Path]:
    """The message files, oldest first."""
    return sorted((home(server, user) / "messages").glob("*/*"), key=lambda path: path.stat().st_mtime_ns)


def staged(server: Server, user: str) -> set[str]:
    """What lies in `tmp/`; daily maintenance has something there too, for a moment."""
    return left_in(home(server, user) / "tmp")


def log_of(server: Server, user: str) -> list[str]:
    return [line for line in server.log().splitlines() if f"user={user} " in line]


def in_time(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.02)
    return True


# A file that is there and cannot be read


def forbidden(path: Path) -> None:
    path.chmod(0)


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)
    _give(path)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)
    _give(path)


def a_link(path: Path) -> None:
    moved = path.rename(path.with_name("elsewhere"))
    path.symlink_to(moved.name)


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


@pytest.mark.parametrize("spoil", [forbidden, a_fifo, a_directory, a_link], ids=lambda spoil: str(spoil.__name__))
def test_a_file_that_cannot_be_read(server: Server, user: str, spoil: Callable[[Path], None]) -> None:
    """Only that message is not answered; NO [UNAVAILABLE] says so; with the file as it was, it is there again."""
    with server.client(user) as client:
        for word in WORDS:
            client.ok("APPEND INBOX {+}", message(word))
        client.logout()
    second = files(server, user)[1]
    content = second.read_bytes()
    spoil(second)
    assert in_time(lambda: not (home(server, user) / "index.db-wal").exists())
    (home(server, user) / "index.db").unlink(missing_ok=True)
    with server.client(user) as client:
        client.ok("SELECT INBOX")
        for item in ("BODY.PEEK[]", "BODY.PEEK[1]", "ENVELOPE", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "BODYSTRUCTURE"):
            result = client.command(f"FETCH 1:3 (UID {item})")
            assert (result.status, result.code and result.code.name) == ("NO", "UNAVAILABLE"), item
            assert [fetch.number for fetch in result.all(Fetch)] == [1, 3], item
        assert client.ok("FETCH 1:3 (FLAGS RFC822.SIZE)").all(Fetch)[1]["RFC822.SIZE"] == len(message("second"))
        for key, found in (("SUBJECT about", (1, 3)), ("TEXT example.net", (1, 3)), ("ALL", (1, 2, 3))):
            assert client.ok(f"SEARCH {key}").one(Search).numbers == found
        client.ok("FETCH 1:3 (FLAGS)")
        client.ok("STORE 2 +FLAGS (\\Flagged)")
        client.ok("COPY 2 Archive")
        lines = [line for line in log_of(server, user) if "cannot be read now" in line]
        assert lines and all(f"{second.parent.name}/{second.name[:14]}" in line for line in lines)
        assert not [line for line in log_of(server, user) if "second" in line or "INBOX" in line or PASSWORD in line]
        _put_back(second, content)
        assert client.ok("FETCH 2 BODY.PEEK[]").one(Fetch).octets("BODY[]") == message("second")
        assert client.ok("SEARCH SUBJECT second").one(Search).numbers == (2,)
        client.logout()


def _put_back(path: Path, content: bytes) -> None:
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    path.write_bytes(content)
    path.chmod(0o600)
    _give(path)


def test_the_size_is_that_of_what_is_served(server: Server, user: str) -> None:
    """A message found damaged in this very FETCH: RFC822.SIZE counts the octets of the note beside it."""
    with server.client(user) as client:
        for word in WORDS:
            client.ok("APPEND INBOX {+}", message(word, 3000))
        client.ok("SELECT INBOX")
        for path in files(server, user):
            octets = bytearray(path.read_bytes())
            octets[-100] ^= 1
            path.write_bytes(octets)
        for number, items in enumerate(("RFC822.SIZE BODY.PEEK[]", "BODY.PEEK[] RFC822.SIZE", "RFC822.SIZE RFC822"), 1):
            fetch = client.ok(f"FETCH {number} ({items})").one(Fetch)
            octets_served = fetch.octets("RFC822" if items.endswith("RFC822") else "BODY[]")
            assert UNREADABLE in octets_served
            assert fetch["RFC822.SIZE"] == len(octets_served), items
            assert client.ok(f"FETCH {number} RFC822.SIZE").one(Fetch)["RFC822.SIZE"] == len(octets_served)
        client.logout()


# APPEND that is refused


def bad_end(client: Client) -> str:
    client.send_raw(b"T APPEND INBOX {8+}\r\nA: b\r\n\r\n garbage\r\n")
    return client.finish("T").status


def too_big_second(client: Client) -> str:
    client.send_raw(b"T APPEND INBOX {8+}\r\nA: b\r\n\r\n {100000000}\r\n")
    return client.finish("T").status


def bad_second(client: Client) -> str:
    client.send_raw(b"T APPEND INBOX {8+}\r\nA: b\r\n\r\n (\\Bogus) {8+}\r\nA: c\r\n\r\n\r\n")
    return client.finish("T").status


def empty_second(client: Client) -> str:
    client.send_raw(b"T APPEND INBOX {8+}\r\nA: b\r\n\r\n {0+}\r\n\r\n")
    return client.finish("T").status


@pytest.mark.parametrize("refused", [bad_end, too_big_second, bad_second, empty_second])
def test_a_refused_append_leaves_no_file(server: Server, user: str, refused: Callable[[Client], str]) -> None:
    with server.client(user) as client:
        assert refused(client) in ("NO", "BAD")
        assert in_time(lambda: not staged(server, user))
        client.ok("APPEND INBOX {+}", message("kept"))
        client.ok("SELECT INBOX")
        assert client.ok("FETCH 1:* BODY.PEEK[]").one(Fetch).octets("BODY[]") == message("kept")
        client.logout()
    assert len(files(server, user)) == 1


def test_a_client_that_goes_between_two_messages_leaves_no_file(server: Server, user: str) -> None:
    with server.client(user) as client:
        client.send_raw(b"T APPEND INBOX {8+}\r\nA: b\r\n\r\n {8+}\r\nA: c")
        assert in_time(lambda: len(staged(server, user)) == 2)
    assert in_time(lambda: not staged(server, user))


# The directory of arrivals


def test_new_removed_in_a_session(server: Server, user: str) -> None:
    """It is made again, which is logged once; what is delivered then arrives."""
    with server.client(user) as client, server.client(user) as idling:
        for one in (client, idling):
            one.ok("SELECT INBOX")
        client.ok("NOOP")
        shutil.rmtree(home(server, user) / "new")
        for _ in range(3):
            client.ok("NOOP")
        server.deliver(message("later"), user)
        assert client.ok("NOOP").one(Exists).count == 1
        status = (home(server, user) / "new").stat()
        assert status.st_mode & 0o777 == 0o700
        with idling.idle() as idle:
            assert idle.wait_for(Exists).count == 1
            shutil.rmtree(home(server, user) / "new")
            assert in_time((home(server, user) / "new").is_dir)
            client.ok("NOOP")
            server.deliver(message("last"), user)
            assert idle.wait_for(Exists).count == 2
        client.logout()
        idling.logout()
    assert len([line for line in log_of(server, user) if "new/ was missing" in line]) == 2


def test_new_that_cannot_be_listed(server: Server, user: str) -> None:
    """Other mail is served; each process logs it once."""
    with server.client(user) as client:
        client.ok("APPEND INBOX {+}", message("one"))
        new = home(server, user) / "new"
        new.chmod(0)
        client.ok("SELECT INBOX")
        for _ in range(3):
            client.ok("NOOP")
        assert client.ok("FETCH 1 BODY.PEEK[]").one(Fetch).octets("BODY[]") == message("one")
        new.chmod(0o700)
        server.deliver(message("two"), user)
        assert client.ok("NOOP").one(Exists).count == 2
        client.logout()
    # Daily maintenance, which is a process of its own, may have met it too.
    processes = [line.partition("]")[0] for line in log_of(server, user) if "new/ cannot be listed" in line]
    assert processes and len(processes) == len(set(processes))


def test_what_fails_in_the_time_of_waiting_is_not_tried_at_once(server: Server, user: str) -> None:
    """Each slice of indexing failed, and the next was begun: 24,000 lines in the log each second."""
    tmp = home(server, user) / "tmp"
    assert server.process is not None
    for name in LOCKS:
        (tmp / name).unlink(missing_ok=True)
    tmp.chmod(0o500)
    try:
        before = len(log_of(server, user))
        with server.client(user), bounded(max(workers(server.process.pid)), seconds=1, mib=64):
            select.select([], [], [], 3)
        told = [line for line in log_of(server, user)[before:] if "Permission denied" in line]
        assert 1 <= len(told) <= 2
    finally:
        tmp.chmod(0o700)


@pytest.mark.parametrize("keys", [b"UID " + b",".join([b"1"] * (MAX_RANGES + 1)), b"(" * 200])
def test_a_search_that_is_too_large_to_be_saved_empties_what_was(server: Server, user: str, keys: bytes) -> None:
    """RFC 5182 section 2.1: after NO `$` is empty."""
    with server.client(user) as client:
        client.ok("APPEND INBOX {}", b"Subject: x\r\n\r\n")
        client.ok("SELECT INBOX")
        client.ok("SEARCH RETURN (SAVE) ALL")
        assert client.ok("SEARCH $").one(Search).numbers
        refused = client.command(b"SEARCH RETURN (SAVE) " + keys)
        assert refused.status == "NO" and refused.code is not None and refused.code.name == "LIMIT"
        assert not client.ok("SEARCH $").one(Search).numbers
