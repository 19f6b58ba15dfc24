"""Signals: a session is told before it ends, and SIGHUP ends none."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import zlib
from pathlib import Path

import pytest

from crymapd.unix import signals
from tests.testlib.patience import until
from tests.testlib.process import children
from tests.testlib.server import PASSWORD, Server, running, trusting

LOG_IN = b'a LOGIN alice "%b"\r\n' % PASSWORD.encode()
STATES = {
    "before login": (b"", b"* OK"),
    "logged in": (LOG_IN, b"a OK"),
    "idling": (LOG_IN + b"b SELECT INBOX\r\nc IDLE\r\n", b"+ idling"),
    "within a literal": (LOG_IN + b"b APPEND INBOX {100000}\r\n", b"+ go on"),
    "within an answer to a continuation": (b"a AUTHENTICATE PLAIN\r\n", b"+ "),
}


def opened(server: Server, said: bytes, answer: bytes) -> ssl.SSLSocket:
    """A connection on which something was said, and a line came that begins with the answer."""
    plain = server.plain_socket("imaps")
    sock = trusting().wrap_socket(plain, suppress_ragged_eofs=False)  # an end without close_notify is an error
    sock.sendall(said)
    received = b""
    while not any(line.startswith(answer) for line in received.split(b"\r\n")):
        received += sock.recv(4096)
    return sock


def rest(sock: socket.socket) -> bytes:
    """What comes until the server has closed the connection."""
    received = b""
    while data := sock.recv(4096):
        received += data
    return received


def test_every_session_hears_that_the_server_stops(tmp_path: Path) -> None:
    """BYE, then the end of TLS; what was committed stays, and all is over long before the patience of systemd."""
    with running(tmp_path / "root") as server:
        sessions = {name: opened(server, *said) for name, said in STATES.items()}
        compressed = opened(server, LOG_IN + b"b COMPRESS DEFLATE\r\n", b"b OK")
        process = server.process
        server.stop()
        for name, sock in sessions.items():
            with sock:
                assert rest(sock).endswith(b"* BYE the server must end this connection; try again later\r\n"), name
        with compressed:
            assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(rest(compressed)).startswith(b"* BYE ")
        assert process is not None and process.returncode == 0
        assert "BUG" not in server.log() and server.log().count("told to end") == len(STATES) + 1


def test_a_client_that_takes_an_answer_gets_all_of_it(tmp_path: Path) -> None:
    with running(tmp_path / "root") as server:
        server.deliver(b"Subject: x\r\n\r\n" + b"y" * 8_000_000)
        sock = opened(server, LOG_IN + b"b SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\n", b"b OK")
        with sock:
            os.kill(last_to_log_in(server), signal.SIGTERM)
            received = rest(sock)
        assert received.count(b"y") >= 8_000_000 - 4096 and b"c OK" in received
        assert received.endswith(b"* BYE the server must end this connection; try again later\r\n")


def test_a_session_ends_alone(tmp_path: Path) -> None:
    """Whoever ends one worker ends one session, also while its client takes nothing of a long answer for ten seconds."""
    with running(tmp_path / "root") as server, server.client() as other:
        server.deliver(b"Subject: x\r\n\r\n" + b"y" * 20_000_000)
        with opened(server, LOG_IN + b"b SELECT INBOX\r\nc FETCH 1 BODY[]\r\n", b"b OK"):
            worker = last_to_log_in(server)
            os.kill(worker, signal.SIGTERM)
            until(lambda: worker not in children(server.process.pid if server.process else 0))
        other.ok("NOOP")
        other.logout()


def last_to_log_in(server: Server) -> int:
    line = [line for line in server.log().splitlines() if "login user=alice" in line][-1]
    return int(line.partition("[")[2].partition("]")[0])


def test_a_process_that_does_not_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "GRACE_SECONDS", 1)
    child = os.fork()
    if not child:
        end = signals.EndRequest()
        os.kill(os.getpid(), signal.SIGTERM)
        while end.is_made or not end.is_made:
            pass
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGALRM


def test_hanging_up_ends_nothing(tmp_path: Path) -> None:
    """The log goes on in a new file, for the listener and for every later connection; sessions stay."""
    with running(tmp_path / "root") as server:
        assert server.process is not None
        with server.client() as client:
            rotated = server.root / "log.1"
            (server.root / "log").rename(rotated)
            for pid in (server.process.pid, *children(server.process.pid)):
                os.kill(pid, signal.SIGHUP)
            until(lambda: "SIGHUP: the log was reopened" in server.log())
            client.ok("NOOP")
            client.logout()
        with server.client() as client:
            client.logout()
        until(lambda: "disconnected" in server.log())
        assert "login user=alice" in server.log() and "BUG" not in server.log() + rotated.read_text()


def test_a_log_that_cannot_be_opened_again(tmp_path: Path) -> None:
    """The former file stays in use, and says so."""
    with running(tmp_path / "root") as server:
        assert server.process is not None
        rotated = server.root / "log.1"
        (server.root / "log").rename(rotated)
        (server.root / "log").mkdir()
        os.kill(server.process.pid, signal.SIGHUP)
        until(lambda: "the old one stays in use" in rotated.read_text())
        (server.root / "log").rmdir()
        with server.client() as client:
            client.logout()
