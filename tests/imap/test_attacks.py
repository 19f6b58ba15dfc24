"""Attacks on memory and time, against the real server: each is answered, and each worker stays within bounds.

The bounds are what a worker may take beyond what it had before (memory), and its processor time. They are a
few times what is measured, so that only another order of growth breaks them.
"""

from __future__ import annotations

import re
import select
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from tests.testlib.answers import Mailbox
from tests.testlib.grammar import Options, parse
from tests.testlib.hostile import hostile
from tests.testlib.patience import PATIENCE_SECONDS, until
from tests.testlib.process import Used, bounded, workers
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

    def answer(self, tag: bytes, timeout: float = PATIENCE_SECONDS) -> bytes:
        """The answer with that tag; everything before it is grammatical."""
        while True:
            frame = self.stream.read_frame(timeout)
            parse(frame, Options())
            if frame.startswith(tag + b" "):
                return frame

    def ok(self, command: bytes) -> None:
        self.stream.send(b"K " + command + b"\r\n")
        found = self.answer(b"K")
        assert found.startswith(b"K OK"), found

    def attack(self, octets: bytes, *, seconds: float = 2, mib: float = 16) -> bytes:
        """The answer to an attack tagged `A`; within bounds, and the connection is usable afterwards."""
        with bounded(self.worker, seconds=seconds, mib=mib):
            self.stream.send(octets)
            found = self.answer(b"A")
            self.ok(b"NOOP")
        return found


def connect(server: Server) -> Attacker:
    """Before login."""
    assert server.process is not None
    others = set(workers(server.process.pid))
    stream = Stream(server.connect("imaps"))
    assert stream.read_frame().startswith(b"* OK")
    return Attacker(stream, max(set(workers(server.process.pid)) - others))


@contextmanager
def attacker(server: Server, mailbox: bytes = b"INBOX") -> Iterator[Attacker]:
    """Logged in, a mailbox selected."""
    found = connect(server)
    found.ok(f'LOGIN alice "{PASSWORD}"'.encode())
    found.ok(b"SELECT " + mailbox)
    try:
        yield found
    finally:
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
def test_octets_that_are_no_text(server: Server, octets: bytes, enabled: bool) -> None:
    """Bare, quoted and as literals: an answer to each, and all that is said is grammatical."""
    forms = (octets, b'"' + octets + b'"', b"{%d+}\r\n%b" % (len(octets), octets))
    for at in range(0, len(TEXTS), 6):  # twenty bad commands end a connection
        with server.client() as client:
            if enabled:
                client.ok("ENABLE IMAP4rev2 UTF8=ACCEPT")
            client.ok("SELECT INBOX")
            for command in TEXTS[at : at + 6]:
                for form in forms:
                    tag = client.next_tag()
                    client.send_raw(tag.encode() + b" " + command.replace(b"%b", form) + b"\r\n")
                    assert client.finish(tag).status in ("OK", "NO", "BAD")
            client.logout()


# Clients that do not take, or do not give


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits seconds where others wait minutes."""
    limits = (
        "crymapd.channel.WRITE_TIMEOUT=1 crymapd.imap.server.BEFORE_LOGIN_SECONDS=2"
        " crymapd.daemon.client.HANDSHAKE_SECONDS=2"
    )
    with running(tmp_path_factory.mktemp("hasty") / "root", limits=limits) as started:
        yield started
        assert not re.search("BUG|Traceback", started.log())


def ends(server: Server, worker: int) -> None:
    """Wait until the worker is gone."""
    assert server.process is not None
    listener = server.process.pid
    until(lambda: worker not in workers(listener))


def test_a_client_that_never_reads(hasty: Server) -> None:
    """What waits for it is bounded, and so is the time."""
    with hasty.client() as client:
        client.ok("APPEND INBOX {}", b"Subject: large\r\n\r\n" + b"x" * 998 + b"\r\n" * 31_000_000)
    with attacker(hasty) as evil:
        evil.ok(b"FETCH 1 RFC822.SIZE")
        with bounded(evil.worker, seconds=2, mib=8):
            evil.stream.send(b"A FETCH 1 BODY.PEEK[]\r\n" * 20)
            select.select([], [], [], 0.5)
        ends(hasty, evil.worker)


def test_an_octet_now_and_then(hasty: Server) -> None:
    """Whoever does not log in in time is thrown out, however busy he seems."""
    evil = connect(hasty)
    with pytest.raises(OSError):
        while True:
            evil.stream.send(b"A")
            select.select([], [], [], 0.05)
    assert evil.stream.read_frame().startswith(b"* BYE")
    evil.stream.close()
    ends(hasty, evil.worker)


def test_a_handshake_that_does_not_go_on(hasty: Server) -> None:
    assert hasty.process is not None
    others = set(workers(hasty.process.pid))
    with hasty.plain_socket("imaps") as plain:
        plain.sendall(b"\x16\x03\x01")
        while not (new := set(workers(hasty.process.pid)) - others):
            select.select([], [], [], 0.02)
        ends(hasty, new.pop())


def test_ten_thousand_commands_at_once(server: Server) -> None:
    """None of them is kept longer than it takes to do it, though nobody reads the answers."""
    with attacker(server) as evil:
        assert evil.attack(b'N LIST "" *\r\n' * 10_000 + b"A NOOP\r\n", seconds=30, mib=4).startswith(b"A OK")


def test_a_literal_that_comes_octet_by_octet(server: Server) -> None:
    """It is put together once, not with every octet."""
    size = 30_000
    with attacker(server) as evil, bounded(evil.worker, seconds=10, mib=4):
        evil.stream.send(b"A SEARCH SUBJECT {%d+}\r\n" % size)
        for _ in range(size):
            evil.stream.send(b"x")
        evil.stream.send(b"\r\n")
        assert evil.answer(b"A").startswith(b"A OK")


# COMPRESS


def deflated(octets: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(octets) + packer.flush(zlib.Z_SYNC_FLUSH)


def compressed(evil: Attacker) -> Attacker:
    """Answers are inflated from here on; what is sent is not deflated for us."""
    evil.ok(b"COMPRESS DEFLATE")
    evil.stream._inflate = zlib.decompressobj(-15)
    return evil


def test_a_deflate_bomb(server: Server) -> None:
    """10 MB in 10 kB before a newline, then 1 GB in 1 MB."""
    with attacker(server) as evil:
        compressed(evil)
        for size, seconds in ((10_000_000, 2), (1_000_000_000, 20)):
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            bomb = packer.compress(b"A NOOP ")
            bomb += b"".join(packer.compress(b"\0" * 1_000_000) for _ in range(size // 1_000_000))
            bomb += packer.compress(b"\r\nK NOOP\r\n") + packer.flush(zlib.Z_FULL_FLUSH)
            assert len(bomb) < size / 900
            with bounded(evil.worker, seconds=seconds, mib=8):
                evil.stream.send(bomb)
                assert evil.answer(b"A").startswith(b"A BAD [TOOBIG]")
                assert evil.answer(b"K").startswith(b"K OK")


@pytest.mark.parametrize(
    "octets",
    [b"B NOOP\r\n" * 100, b"\xff" * 1000, b"\x03\x00" + b"B NOOP\r\n", deflated(b"B NOOP\r\n") + b"\x07" * 50],
    ids=["not deflated", "no block", "the end of the stream", "garbage behind"],
)
def test_a_deflated_stream_that_is_none(server: Server, octets: bytes) -> None:
    with attacker(server) as evil:
        compressed(evil)
        with suppress(OSError):
            evil.stream.send(octets)
        with pytest.raises(Closed):
            while True:
                evil.stream.read_frame()
        ends(server, evil.worker)


# Mail


def append(evil: Attacker, message: bytes, *, seconds: float, mib: float) -> Used:
    """APPEND to the selected mailbox, and everything of the new message that is derived from it."""
    with bounded(evil.worker, seconds=seconds, mib=mib) as used:
        announced = b"A APPEND INBOX {%d+}\r\n" % len(message)
        evil.stream.send(announced + message + b"\r\n")
        assert evil.answer(b"A").startswith(b"A OK")
        for command in (
            b"FETCH * (RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE PREVIEW)",
            b"SEARCH TEXT aab",
            b"SORT (SUBJECT FROM DATE DISPLAYTO) utf-8 ALL",
            b"THREAD REFERENCES utf-8 ALL",
            b"FETCH * (BODY.PEEK[1.1.1] BODY.PEEK[HEADER.FIELDS (To)] BODY.PEEK[2.MIME])",
        ):
            evil.ok(command)
    return used


HEAD = b"From: eve@example.net\r\nSubject: evil\r\n"
MIXED = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
NESTED = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(10_000))
MAIL: dict[str, bytes] = {
    "10,000 nested multiparts": HEAD + NESTED,
    "10,000 nested messages": HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 10_000,
    "100,000 siblings": MIXED + b"--b\r\n\r\n\r\n" * 100_000 + b"--b--\r\n",
    "one boundary 100,000 times": MIXED + (b"--b\r\n" + MIXED) * 10_000,
    "no end": MIXED + b"--b\r\n\r\n" + b"text\r\n" * 100_000,
    "a million addresses": b"From: a@b\r\nTo: " + b"a@b," * 1_000_000 + b"\r\n\r\n",
    "colons after an address": b"From: " + b"a " * 200_000 + b"@" + b":" * 200_000 + b"\r\n\r\n",
    "groups": b"To: " + b"g:a;" * 200_000 + b"\r\n\r\n",
    "100,000 parameters": HEAD + b"Content-Type: text/plain" + b"; a*0*=utf-8''b" * 100_000 + b"\r\n\r\nx",
    "100,000 encoded words": b"Subject: " + b"=?utf-8?q?aab?= " * 100_000 + b"\r\n\r\n",
    "60,000 charsets": b"Subject: " + b"".join(b"=?x-%d?q?a?= " % n for n in range(60_000)) + b"\r\n\r\n",
    "a comment that ends in a backslash": b"From: (" + b"a\\" * 500_000 + b"\r\nDate: (\\\r\nTo: x (\\\r\n\r\n",
    "references": HEAD + b"References: " + b'<"\\"' * 16_000 + b"\r\nMessage-ID: " + b'<\\"' * 20_000 + b"\r\n\r\n",
    "marks of replies": b"Subject: " + b"[a]" * 20_000 + b"\r\n\r\n",
    "an endless number": HEAD + b"Content-Type: text/html\r\n\r\n&#" + b"1" * 50_000 + b";&#x" + b"f" * 50_000,
    "an empty From": b"From:\r\nTo: ;\r\nCc: <>\r\n\r\n",
    "half a million fields": b"".join(b"X%d: y\r\n" % n for n in range(500_000)) + b"\r\n",
    "parts with long headers": MIXED + (b"--b\r\nContent-Description: " + b"d" * 1_000_000 + b"\r\n\r\n") * 20,
    "short words": HEAD + b"\r\n" + b"ab cd\r\n" * 2_500_000,
}


@pytest.mark.parametrize("name", MAIL)
def test_mail_that_no_program_sends(server: Server, name: str) -> None:
    with attacker(server) as evil:
        used = append(evil, MAIL[name], seconds=15, mib=192)
        print(f"\n{name}: {used.seconds:.2f} s, {used.mib:.0f} MiB")
        evil.ok(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        evil.ok(b"EXPUNGE")


def test_a_header_of_60_mb(server: Server) -> None:
    with attacker(server) as evil:
        used = append(evil, b"X-Long: yyyyy\r\n" * 4_000_000, seconds=45, mib=512)
        print(f"\n60 MB header: {used.seconds:.2f} s, {used.mib:.0f} MiB")
        with bounded(evil.worker, seconds=10, mib=16) as used:
            evil.ok(b"FETCH * BODY.PEEK[HEADER]")
        print(f"\n60 MB header fetched: {used.seconds:.2f} s, {used.mib:.0f} MiB")
        evil.ok(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        evil.ok(b"EXPUNGE")


def test_twenty_thousand_odd_messages(server: Server) -> None:
    """SORT and THREAD over them."""
    with server.client() as client:
        client.ok("CREATE odd")
        for message in hostile(157, seed=7):
            client.ok("APPEND odd {+}", message[:4000] or b" ")
        client.ok("SELECT odd")
        for _ in range(7):
            client.ok("COPY 1:* odd")
        assert client.ok("STATUS odd (MESSAGES)")
        client.logout()
    with attacker(server, b"odd") as evil:
        for command in (
            b"SORT (REVERSE SUBJECT FROM CC DISPLAYTO DATE SIZE) utf-8 ALL",
            b"THREAD REFERENCES utf-8 ALL",
            b"THREAD ORDEREDSUBJECT utf-8 ALL",
            b"SEARCH HEADER Subject hostile",
        ):
            with bounded(evil.worker, seconds=30, mib=96) as used:
                evil.ok(command)
            print(f"\n{command.decode()}: {used.seconds:.2f} s, {used.mib:.0f} MiB")


def test_large_answers_are_not_collected(server: Server) -> None:
    """Many items of one message, many messages: little waits for the client at a time."""
    message = b"X-Long: " + b"y" * 500_000 + b"\r\n\r\n" + b"x" * 500_000
    with attacker(server) as evil:
        append(evil, message, seconds=10, mib=64)
        for part, mib in ((b"BODY.PEEK[]", 256), (b"BODY.PEEK[HEADER]", 256), (b"BINARY.PEEK[]", 256)):
            for size in (250_000, 500_000):
                items = b" ".join(b"%b<%d.%d>" % (part, n, size) for n in range(200))
                with bounded(evil.worker, seconds=15, mib=mib) as used:
                    evil.ok(b"FETCH * (" + items + b")")
                print(f"\n{part.decode()} x 200 of {size}: {used.seconds:.2f} s, {used.mib:.0f} MiB")
        evil.ok(b"CREATE many")
        evil.ok(b"COPY * many")
        evil.ok(b"SELECT many")
        for _ in range(7):
            evil.ok(b"COPY 1:* many")
        with bounded(evil.worker, seconds=15, mib=96) as used:
            evil.ok(b"FETCH 1:* (BODY.PEEK[]<0.200000> BODY.PEEK[HEADER])")
        print(f"\n128 messages: {used.seconds:.2f} s, {used.mib:.0f} MiB")


def test_a_thousand_long_headers_at_once(server: Server) -> None:
    """What is prepared of the messages of one MULTIAPPEND is held within bounds."""
    message = HEAD + b"X-Long: yyyyy\r\n" * 20_000 + b"\r\nx\r\n"
    with attacker(server) as evil, bounded(evil.worker, seconds=60, mib=96) as used:
        evil.ok(b"CREATE long")
        evil.stream.send(b"A APPEND long" + b" {%d+}\r\n%b" % (len(message), message) * 300 + b"\r\n")
        assert evil.answer(b"A").startswith(b"A OK")
        print(f"\n300 long headers: {used.seconds:.2f} s, {used.mib:.0f} MiB")


def test_a_thousand_texts(server: Server) -> None:
    """A message is decoded once, not for each key."""
    with attacker(server) as evil:
        append(evil, HEAD + b"\r\n" + b"lorem ipsum\r\n" * 100_000, seconds=15, mib=64)
        with bounded(evil.worker, seconds=20, mib=64) as used:
            evil.ok(b"SEARCH" + b"".join(b" NOT TEXT nothing%d" % n for n in range(1000)))
        print(f"\n1000 texts: {used.seconds:.2f} s, {used.mib:.0f} MiB")


# Names


USERS = (
    "..", ".", "", "a/b", "a\0b", "%2e", "alice.", "alice ", " alice", "-rf", "alice\n", "%n", "../alice", "alice/",
    "al\u0131ce", "\u202ealice", "x" * 4000, "a\u0301lice", "alice\u200b", "\uff41lice", "ali\u0441e",
)  # fmt: skip


@pytest.mark.parametrize("name", USERS)
def test_user_names_that_are_none(server: Server, name: str) -> None:
    before = tree(server)
    with server.client(None) as client:
        result = client.command("LOGIN {+} {+}", name.encode(), PASSWORD.encode())
        assert result.status == "NO" and "AUTHENTICATIONFAILED" in result.codes()
        client.logout()
    assert tree(server) == before


def tree(server: Server) -> set[str]:
    """The paths below the root; without counters of failures, and logs of databases, which come and go."""
    return {
        str(path)
        for path in server.root.rglob("*")
        if "/state/" not in str(path) and not path.name.endswith(("-wal", "-shm"))
    }


def test_user_names_in_capitals(server: Server) -> None:
    with server.client("ALICE") as client:
        client.logout()


MAILBOXES = (
    "..", ".", "../../etc", "a\tb", "a%2eb", "cafe\u0301", "caf\u00e9", "\u202egnp", "trailing ", "trailing.", "-rf",
    "%n%s", "~root", "$HOME", "`id`", "inbox/INBOX", "InBoX", "con", "a\\b", "'; DROP TABLE mailboxes; --", "\U0001f4a9",
    "\u200bzero", "/lead", "trail/", "a//b", "x" * 1000,
)  # fmt: skip


def test_mailbox_names_reach_no_file(server: Server) -> None:
    """Each is made or refused, listed as it was made, and none is the name of a file."""
    with server.client() as client:
        client.ok("NOOP")
        before = {name for path in tree(server) for name in path.split("/")}
        client.ok("ENABLE UTF8=ACCEPT")
        for name in MAILBOXES:
            result = client.command("CREATE {+}", name.encode())
            assert result.status == "OK" or set(result.codes()) & {"CANNOT", "ALREADYEXISTS"}, (name, result)
            if result.status == "OK":
                client.ok("SELECT {+}", name.encode())
                client.ok("APPEND {+} {+}", name.encode(), b"Subject: x\r\n\r\n")
                client.ok("UNSELECT")
        listed = [box.name for box in client.ok('LIST "" *').all(Mailbox)]
        assert len(set(listed)) == len(listed) and listed.count("caf\u00e9") == 1
        for name in sorted(listed, reverse=True):
            assert client.command("DELETE {+}", name.encode()).status in ("OK", "NO")
        client.logout()
    files = {name for path in tree(server) for name in path.split("/")} - before
    assert not [name for name in files if not re.fullmatch(r"[0-9a-z._-]+", name)], files
    assert not files & set(MAILBOXES)
