"""Clients that mean no good, against the real server: they are refused, and everybody else is served."""

from __future__ import annotations

import contextlib
import select
import ssl
import time
from collections.abc import Iterator

import pytest

from tests.testlib.answers import Fetch, Mailbox, Search
from tests.testlib.client import Client
from tests.testlib.corpus import sample
from tests.testlib.process import bounded, workers
from tests.testlib.server import PASSWORD, Server, running
from tests.testlib.stream import Closed, Stream


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("hostile") / "root") as started:
        yield started
        assert "BUG" not in started.log()


@pytest.fixture(scope="module")
def bystander(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture(autouse=True)
def others_are_served(server: Server, bystander: Client) -> Iterator[None]:
    """Somebody who was there before, and somebody who comes afterwards."""
    yield
    bystander.ok("NOOP")
    with server.client(None) as newcomer:
        newcomer.logout()


def stranger(server: Server) -> Stream:
    """A connection that has not logged in, behind its greeting."""
    stream = Stream(server.connect("imaps"))
    assert stream.read_frame().startswith(b"* OK")
    return stream


def logged_in(server: Server) -> Stream:
    stream = stranger(server)
    stream.send(f'L LOGIN alice "{PASSWORD}"\r\n'.encode())
    assert stream.read_frame().startswith(b"L OK")
    return stream


def answers(stream: Stream, data: bytes) -> list[bytes]:
    """Everything the server says until it closes the connection."""
    found = []
    with contextlib.suppress(Closed, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
        stream.send(data)
    with contextlib.suppress(Closed):
        while True:
            found.append(stream.read_frame())
    stream.close()
    return found


def test_a_client_that_never_reads(server: Server) -> None:
    server.deliver(sample("large"))
    stream = logged_in(server)
    stream.send(b"A SELECT INBOX\r\n" + b"B FETCH 1 BODY.PEEK[]\r\n" * 1000)
    while not stream.read_frame().startswith(b"A OK"):
        pass
    assert stream.read_frame().startswith(b"* 1 FETCH")
    # The server has more to send than the kernel takes, and waits for us; nobody waits with it.
    with server.client() as other:
        other.ok("SELECT INBOX")
        size = other.ok("FETCH 1 RFC822.SIZE").one(Fetch)
        assert size["RFC822.SIZE"] == len(sample("large"))
        other.logout()
    stream.close()


@pytest.mark.parametrize("announced", [b"{99999999999999999999}", b"{999999999999999999999999}", b"{4097}", b"{-1}"])
def test_absurd_literals_before_login(server: Server, announced: bytes) -> None:
    stream = stranger(server)
    stream.send(b"A LOGIN " + announced + b"\r\n")
    assert stream.read_frame().startswith(b"A BAD")
    stream.send(b"B NOOP\r\n")
    assert stream.read_frame().startswith(b"B OK")
    stream.close()


@pytest.mark.parametrize("command", [b"SELECT", b"APPEND INBOX", b"SEARCH TEXT", b"LIST {1+}\r\nx"])
def test_absurd_literals_after_login(server: Server, command: bytes) -> None:
    stream = logged_in(server)
    stream.send(b"A " + command + b" {99999999999999999999}\r\n")
    assert stream.read_frame().split(b" ")[:2] in ([b"A", b"BAD"], [b"A", b"NO"])
    stream.send(b"B NOOP\r\n")
    assert stream.read_frame().startswith(b"B OK")
    stream.close()


def test_an_absurd_literal_that_does_not_wait(server: Server) -> None:
    """It is swallowed for as long as it lasts, and nothing of it is kept or done."""
    stream = stranger(server)
    stream.send(b"A LOGIN {99999999999999999999+}\r\n" + b"B NOOP\r\n" * 100_000)
    assert not select.select([stream.sock], [], [], 0.2)[0]
    stream.close()


@pytest.mark.parametrize("depth", [101, 5000, 60_000])
def test_deep_parentheses(server: Server, depth: int) -> None:
    with server.client() as client:
        client.ok("SELECT INBOX")
        for line, status in (
            ("SEARCH " + "(" * depth, "NO"),
            ("SEARCH " + "NOT " * (depth // 4 + 101) + "ALL", "NO"),
            ("FETCH 1 " + "(" * depth, "BAD"),
        ):
            assert client.command(line).status == status
        client.logout()


BAD_UTF8 = (
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf8\x88\x80\x80\x80",
    b"a\x80",
    b"\x00",
    b"\x1b[2J",
    b"a\r\nb",
)


@pytest.mark.parametrize("octets", BAD_UTF8)
def test_octets_that_are_no_text_in_login(server: Server, octets: bytes) -> None:
    with server.client(None) as client:
        for literals in ((octets, PASSWORD.encode()), (b"alice", octets)):
            result = client.command("LOGIN {+} {+}", *literals)
            assert result.status == "NO" and "AUTHENTICATIONFAILED" in result.codes()
        client.logout()


@pytest.mark.parametrize("octets", BAD_UTF8)
def test_octets_that_are_no_text_in_names(bystander: Client, octets: bytes) -> None:
    for command in ("CREATE", "SELECT", "DELETE", "SUBSCRIBE", "RENAME INBOX"):
        assert bystander.command(command + " {+}", octets).status == "NO"
    bystander.ok('LIST "" {+}', octets)


def test_quoted_octets_that_are_no_text(server: Server) -> None:
    stream = stranger(server)
    stream.send(b'A LOGIN "\xff\xfe" "\x80"\r\n')
    assert stream.read_frame().startswith(b"A NO [AUTHENTICATIONFAILED]")
    stream.send(b"B LOGIN \xff\xfe x\r\n")
    assert stream.read_frame().startswith(b"B BAD")
    stream.close()


HTTP = b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl\r\nAccept: */*\r\n\r\n"


def test_http_inside_tls(server: Server) -> None:
    assert [line[:5] for line in answers(stranger(server), HTTP)] == [b"* BYE"]


FOREIGN = (
    b"GET / HTTP/1.1", b"get /", b"POST /A%20LOGIN HTTP/1.1", b"A1 / HTTP/1.1", b"PRI * HTTP/2.0",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1", b"EHLO x", b"ehlo [127.0.0.1]", b"HELO x", b"LHLO x", b"MAIL FROM:<a@b>",
    b"CAPA", b"USER alice", b"QUIT", b"(A1 NOOP", b"* NOOP", b"+ NOOP", b"\x16\x03\x01", b"\x80\x81 \xff",
    b"\r\n\r\nGET / HTTP/1.1",
)  # fmt: skip


@pytest.mark.parametrize("line", FOREIGN)
def test_a_first_line_of_another_protocol(server: Server, line: bytes) -> None:
    """The connection ends with it, and no later line is looked at."""
    login = b"".join(b'A%d LOGIN alice "%b"\r\n' % (number, PASSWORD.encode()) for number in range(3))
    said = answers(stranger(server), line + b"\r\n" + login)
    assert said[-1].startswith(b"* BYE [PARSE]")
    assert not [answer for answer in said if b" OK" in answer]


MISTAKEN = (
    b"A1 NOSUCH",
    b"A1 LOGIN alice",
    b"A1 SELECT INBOX",
    b"A1",
    b"A1 ",
    b"A1 123",
    b"GETS ELSE",
    b"1.2 n(",
)


@pytest.mark.parametrize("line", MISTAKEN)
def test_a_first_line_with_a_tag_is_counted(server: Server, line: bytes) -> None:
    """Two mistakes are pardoned before login; the third ends the connection, whatever it is."""
    with server.client(None) as client:
        client.send_raw(line + b"\r\nB NOOP\r\n" + line + b"\r\nC NOOP\r\n")
        said = [client.stream.read_frame() for _ in range(4)]
        assert [b" BAD" in answer for answer in said] == [True, False, True, False]
        client.send_raw(line + b"\r\nD NOOP\r\n")
        assert b" BAD" in client.stream.read_frame()
        assert client.stream.read_frame().startswith(b"* BYE")
        client.expect_close()


def test_http_after_a_command_is_counted(server: Server) -> None:
    said = answers(stranger(server), b"A NOOP\r\n" + HTTP)
    assert said[0].startswith(b"A OK") and said[-1].startswith(b"* BYE")
    assert len(said) == 5 and all(b" BAD " in line for line in said[1:4])


def test_http_without_tls(server: Server) -> None:
    with server.plain_socket("imaps") as plain:
        plain.sendall(HTTP)
        with contextlib.suppress(ConnectionResetError):
            assert not plain.recv(1000).startswith(b"*")


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 50_000, b"\xff" * 50_000, b"\r\n".join([b"\x16\x03\x01"] * 50) + b"\r\n"]
)
def test_garbage_is_thrown_out(server: Server, garbage: bytes) -> None:
    said = answers(stranger(server), garbage + b"\r\n" * 2 + b"A X\r\n" * 3)
    assert said[-1].startswith(b"* BYE")


def test_a_line_without_end_before_login(server: Server) -> None:
    stream = stranger(server)
    stream.send(b"A NOOP " + b"x" * 5_000_000 + b"\r\nB NOOP\r\n")
    assert stream.read_frame().startswith(b"A BAD")
    assert stream.read_frame().startswith(b"B OK")
    stream.close()


def test_a_client_that_goes_in_the_middle(server: Server) -> None:
    for begun in (b"A", b"A APPEND INBOX {1000+}\r\nSubject: half", b"A IDLE\r\n", b"A SELECT {9+}\r\nIN", b"A UID"):
        stream = logged_in(server)
        stream.send(begun)
        stream.close()
    with server.client() as client:
        client.ok("SELECT INBOX")
        assert client.ok("SEARCH SUBJECT half").one(Search).numbers == ()


def test_patterns_that_would_never_end(server: Server) -> None:
    with server.client() as client:
        client.ok("CREATE " + "a" * 200)
        assert client.ok('LIST "" ' + "*a" * 30 + "*b").all(Mailbox) == []
        assert len(client.ok('LIST "" ' + "*a" * 30 + "*").all(Mailbox)) == 1
        client.ok("DELETE " + "a" * 200)


def test_searches_that_would_never_end(server: Server) -> None:
    assert server.process is not None
    message = b"Subject: " + b"=?utf-8?q?" * 2000 + b"\r\n\r\n" + b"a" * 50_000
    with server.client() as client:
        client.ok("CREATE deep")
        client.ok("APPEND deep {+}", message)
        client.ok("SELECT deep")
        with bounded(max(workers(server.process.pid)), seconds=10, mib=96):
            client.ok("SEARCH " + "OR TEXT aab " * 90 + "BODY aac")
            client.ok("SEARCH " + "1:* " * 4000 + "ALL")
        client.ok("CLOSE")
        client.ok("DELETE deep")


def test_too_many_of_everything(server: Server) -> None:
    with server.client() as client:
        assert client.command("CREATE " + "a/" * 65).status == "NO"
        assert client.command("CREATE " + "a" * 1001).status == "NO"
        client.ok("APPEND INBOX {+}", b"Subject: flags\r\n\r\n")
        client.ok("SELECT INBOX")
        assert client.command("STORE * +FLAGS (" + "k" * 256 + ")").status == "BAD"
        assert client.command("ID (" + '"a" "b" ' * 31 + ")").status == "BAD"
        assert client.command("ENABLE " + "X" * 60_000).status == "OK"
        client.logout()


def test_a_message_of_the_greatest_size_that_is_none(server: Server) -> None:
    with server.client() as client:
        result = client.command("APPEND INBOX {}", b"x" * (64 * 1024 * 1024 + 1))
        assert result.status == "NO" and "TOOBIG" in result.codes()
        client.ok("NOOP")
        client.logout()


def test_the_log_holds_no_password_and_no_line_of_a_stranger(server: Server) -> None:
    with server.client(None) as client:
        client.command("LOGIN {+} {+}", b"eve\ncrymapd[1]: login user=alice", b"hunter22")
        client.logout()
    text = server.log()
    assert "hunter22" not in text and PASSWORD not in text
    assert "\ncrymapd[1]: login user=alice" not in text


def test_one_client_each_at_the_same_time(server: Server) -> None:
    """Twenty at once, each of them impolite in the middle of a command."""
    streams = [stranger(server) for _ in range(20)]
    for stream in streams:
        stream.send(b"A LOGIN alice {5+}\r\nab")
    with server.client() as client:
        client.ok("NOOP")
        assert isinstance(client, Client)
    for stream in streams:
        stream.close()


def test_text_that_is_no_text(server: Server) -> None:
    """UTF-7 can spell half a surrogate pair, which nothing can write; the sessions that come across it go on."""
    word = b"=?utf-7?q?+2AA-half?="
    with server.client() as waiting, server.client() as other:
        waiting.ok("CREATE Half")
        other.ok("SELECT Half")
        from_eve = b"From: %b <eve@example.net>\r\nSubject: %b\r\n" % (word, word)
        charset = b"Content-Type: text/plain; charset=utf-7\r\n\r\n"
        waiting.ok("APPEND Half {}", from_eve + charset + b"+2AA- hello\r\n")
        waiting.ok("APPEND Half {}", b"Subject: after\r\n\r\nhello\r\n")
        waiting.ok("SELECT Half")
        other.ok("NOOP")
        with waiting.idle():
            time.sleep(1.5)  # there is time to index it
        for client in (waiting, other):
            for command in (
                "FETCH 1:2 (ENVELOPE BODYSTRUCTURE PREVIEW)",
                "THREAD REFERENCES UTF-8 ALL",
                "SORT (SUBJECT FROM) UTF-8 ALL",
                "SEARCH CHARSET UTF-7 TEXT +2AA-",
                "ENABLE UTF8=ACCEPT",
                "FETCH 1:2 (ENVELOPE BODYSTRUCTURE PREVIEW)",
            ):
                client.ok(command)
            assert client.ok("SEARCH TEXT hello").one(Search).numbers == (1, 2)
            assert client.ok("SEARCH SUBJECT half").one(Search).numbers == (1,)
