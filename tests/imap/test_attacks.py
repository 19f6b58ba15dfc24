"""Attacks on memory and time, against the real server: each is answered, and each worker stays within bounds.

The bounds are what a worker may take beyond what it had before (memory), and its processor time. They are a
few times what is measured, so that only another order of growth breaks them.
"""

from __future__ import annotations

import re
import select
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from tests.testlib.answers import Fetch, Mailbox
from tests.testlib.client import Client
from tests.testlib.grammar import Options, parse
from tests.testlib.hostile import hostile
from tests.testlib.process import Used, bounded, children
from tests.testlib.server import PASSWORD, Server, running
from tests.testlib.stream import Closed, Stream

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("attacks") / "root") as started:
        yield started
        log = started.log()
        assert not re.search("BUG|Traceback|RecursionError|MemoryError", log), log


@pytest.fixture(autouse=True)
def everybody_else_is_served(server: Server) -> Iterator[None]:
    yield
    with server.client(None) as newcomer:
        newcomer.logout()


@dataclass
class Attacker:
    """A connection to the real server, and the process that serves it."""

    stream: Stream
    worker: int

    def answer(self, tag: bytes, timeout: float = 60) -> bytes:
        """The answer with that tag; everything before it is grammatical."""
        while True:
            frame = self.stream.read_frame(timeout)
            parse(frame, Options(nul=True))
            if frame.startswith(tag + b" "):
                return frame

    def ok(self, command: bytes) -> None:
        self.stream.send(b"K " + command + b"\r\n")
        found = self.answer(b"K")
        assert found.startswith(b"K OK"), found

    def attack(self, octets: bytes, *, seconds: float = 2, mib: float = 16) -> bytes:
        """The answer to an attack tagged `A`; within bounds, and the connection is usable afterwards."""
        with bounded(self.worker, seconds=seconds, mib=mib):
            sender = threading.Thread(target=self.stream.sock.sendall, args=(octets,))
            sender.start()
            found = self.answer(b"A")
            sender.join()
            self.ok(b"NOOP")
        return found


def connect(server: Server) -> Attacker:
    """Before login."""
    assert server.process is not None
    others = set(children(server.process.pid))
    stream = Stream(server.tls_socket(), 30)
    assert stream.read_frame().startswith(b"* OK")
    return Attacker(stream, max(set(children(server.process.pid)) - others))


@contextmanager
def attacker(server: Server, mailbox: bytes = b"INBOX") -> Iterator[Attacker]:
    """Logged in, a mailbox selected."""
    found = connect(server)
    found.ok(f'LOGIN alice "{PASSWORD}"'.encode())
    found.ok(b"SELECT " + mailbox)
    yield found
    found.stream.close()


def refused(answer: bytes) -> bool:
    return re.match(rb"A (BAD|NO) \[(TOOBIG|LIMIT|PARSE|CLIENTBUG|CANNOT)[ \]]", answer) is not None


# Literals, lines and nesting

LINES: dict[str, bytes] = {
    "100,000 literals": b"A SEARCH" + b" TEXT {1+}\r\nx" * 100_000 + b"\r\n",
    "1000 literals, long lines between": b"A SEARCH" + (b" TEXT" + b" " * 60_000 + b"{1+}\r\nx") * 900 + b"\r\n",
    "4 GiB, waiting": b"A SEARCH TEXT {4294967295}\r\n",
    "more than 64 bits, waiting": b"A SEARCH TEXT {99999999999999999999}\r\n",
    "less than nothing": b"A SEARCH TEXT {-1}\r\n",
    "20 MB that do not wait": b"A SEARCH TEXT {20000000+}\r\n" + b"x" * 20_000_000 + b"\r\n",
    "40 MB in literals that do not wait": b"A SEARCH" + (b" TEXT {1000000+}\r\n" + b"x" * 1_000_000) * 40 + b"\r\n",
    "100,000 open parentheses": b"A SEARCH " + b"(" * 100_000 + b"\r\n",
    "60,000 open parentheses": b"A SEARCH " + b"(" * 60_000 + b"\r\n",
    "100,000 NOTs": b"A SEARCH " + b"NOT " * 100_000 + b"ALL\r\n",
    "16,000 NOTs": b"A SEARCH " + b"NOT " * 16_000 + b"ALL\r\n",
    "20,000 ORs": b"A SEARCH " + b"OR " * 20_000 + b"ALL\r\n",
    "100,000 ranges": b"A SEARCH " + b"1:4294967295," * 100_000 + b"1\r\n",
    "32,000 numbers": b"A FETCH " + b"1," * 32_000 + b"1 FLAGS\r\n",
    "a section 10,000 deep": b"A FETCH 1 BODY[" + b"1." * 10_000 + b"1]\r\n",
    "thousands of sections": b"A FETCH 1 (" + b" ".join(b"BODY[%d]" % n for n in range(1, 5000)) + b")\r\n",
    "thousands of header fields": b"A FETCH 1 BODY[HEADER.FIELDS (" + b"x " * 20_000 + b"x)]\r\n",
    "a fetch item of parentheses": b"A FETCH 1 " + b"(" * 60_000 + b"\r\n",
    "a pattern of 1 MB": b'A LIST "" {1000000+}\r\n' + b"%a" * 500_000 + b"\r\n",
    "a reference of 1 MB": b"A LIST {1000000+}\r\n" + b"a/" * 500_000 + b" *\r\n",
    "a name of 1 MB": b"A CREATE {1000000+}\r\n" + "e\u0301".encode() * 333_333 + b"x\r\n",
    "a name 10,000 deep": b"A CREATE " + b"a/" * 10_000 + b"a\r\n",
    "a long flag": b"A STORE 1 +FLAGS (" + b"k" * 60_000 + b")\r\n",
    "a number without end": b"A SEARCH LARGER " + b"9" * 60_000 + b"\r\n",
    "a date without end": b"A SEARCH SINCE " + b"1" * 60_000 + b"-Feb-2026\r\n",
    "an endless line": b"A SEARCH " + b"x" * 20_000_000 + b"\r\n",
}


@pytest.mark.parametrize("name", LINES)
def test_too_much_of_it(server: Server, name: str) -> None:
    with attacker(server) as evil:
        answer = evil.attack(LINES[name])
        assert refused(answer), answer[:200]


ALLOWED: dict[str, bytes] = {
    "an empty literal": b"A SEARCH TEXT {0+}\r\n\r\n",
    "4000 ranges": b"A SEARCH " + b"1:4294967295," * 4000 + b"1\r\n",
    "5000 STATUS items": b"A STATUS INBOX (" + b"DELETED-STORAGE " * 4000 + b"SIZE)\r\n",
    "nested as deep as may be": b"A SEARCH " + b"(" * 99 + b"ALL" + b")" * 99 + b"\r\n",
    "4999 keys": b"A SEARCH " + b"NOT SEEN " * 2499 + b"ALL\r\n",
    "patterns": b'A LIST "" (' + b" ".join(b"*a" * 300 for _ in range(100)) + b")\r\n",
}


@pytest.mark.parametrize("name", ALLOWED)
def test_much_of_it(server: Server, name: str) -> None:
    """Not too much for an answer, whatever it is."""
    with attacker(server) as evil:
        evil.attack(ALLOWED[name])


def test_before_login_very_little_is_kept(server: Server) -> None:
    for octets in (
        b"A LOGIN {4096+}\r\n" + b"x" * 4096 + b" {4096+}\r\n" + b"y" * 4096 + b" {1+}\r\nz\r\n",
        b"A LOGIN {20000000+}\r\n" + b"x" * 20_000_000 + b" y\r\n",
        b"A LOGIN " + b"(" * 100_000 + b"\r\n",
        b"A " + b"\xff" * 20_000_000 + b"\r\n",
        b"A AUTHENTICATE PLAIN " + b"A" * 100_000 + b"\r\n",
        b"A SEARCH " + b"(" * 8000 + b"\r\n",
    ):
        evil = connect(server)
        assert re.match(rb"A BAD \[(TOOBIG|PARSE)\]|A BAD SEARCH comes after login", evil.attack(octets, mib=2))
        evil.stream.close()


def test_answers_that_are_no_base64(server: Server) -> None:
    """They hurt only who sends them (CVE-2025-59028)."""
    bad = (b"!!!!", b"AGE", b"AGE=AGE=", b"\xff\xfe", b"A" * 5, b"=A==", b" AGFhYQ== ", b"AG\x00FhYQ==")
    for mechanism in (b"PLAIN", b"LOGIN"):
        for octets in bad:
            evil = connect(server)
            with bounded(evil.worker, seconds=2, mib=2):
                evil.stream.send(b"A AUTHENTICATE " + mechanism + b"\r\n")
                assert evil.stream.read_frame().startswith(b"+")
                evil.stream.send(octets + b"\r\n")
                assert evil.answer(b"A").startswith(b"A BAD [PARSE]"), octets
                evil.ok(b"NOOP")
            evil.stream.close()


UNTEXT = (b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80" * 30)
TEXTS = (
    b"SEARCH TEXT %b", b"SEARCH HEADER %b x", b"SEARCH CHARSET %b ALL", b"SEARCH CHARSET utf-8 FROM %b",
    b"SEARCH CHARSET utf-7 FROM %b", b"SORT (DATE) %b ALL", b"THREAD REFERENCES utf-8 SUBJECT %b",
    b"SEARCH KEYWORD %b", b"SEARCH EMAILID %b", b"FETCH 1 BODY[HEADER.FIELDS (%b)]", b"STATUS %b (MESSAGES)",
    b'LIST %b *', b'LIST "" %b', b"ID (%b %b)", b"ENABLE %b", b"CREATE %b", b"SUBSCRIBE %b", b"GETQUOTA %b",
    b"APPEND %b {1+}\r\nx", b"STORE 1 +FLAGS (%b)", b"FETCH 1 %b", b"COPY 1 %b", b"%b", b"UID %b", b"COMPRESS %b",
)  # fmt: skip


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("octets", UNTEXT)
def test_octets_that_are_no_text(server: Server, octets: bytes, *, enabled: bool) -> None:
    """Bare, quoted and as literals: an answer to each, and all of what is said is grammatical."""
    with server.client() as client:
        for command in TEXTS:
            with server.client() if client.command("NOOP").status != "OK" else suppress() as other:
                assert other is None
            for form in (octets, b'"' + octets + b'"', b"{%d+}\r\n%b" % (len(octets), octets)):
                with attacker_of(server, client, enabled=enabled) as evil:
                    tag = evil.next_tag()
                    evil.send_raw(tag.encode() + b" " + command.replace(b"%b", form) + b"\r\n")
                    assert evil.finish(tag).status in ("OK", "NO", "BAD")
        client.logout()


# Clients that do not take, or do not give


def test_a_client_that_never_reads(server: Server) -> None:
    raise NotImplementedError
