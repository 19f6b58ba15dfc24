"""The channel: whoever takes nothing is waited for once, not once more to say goodbye."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from crymapd import channel
from crymapd.channel import Channel, Disconnected, TimedOut, Trace
from tests.testlib.certificate import write_certificate
from tests.testlib.stream import lenient_tls

LARGE = bytes(8 << 20)  # more than a socket pair holds
ANOTHER_WAIT = 20.0  # seconds: nobody takes so long who does not wait


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and a peer that reads only when the test does."""
    monkeypatch.setattr(channel, "WRITE_TIMEOUT", 0.3)
    ours, peer = socket.socketpair()
    with ours, peer:
        yield Channel(ours), peer


def test_a_peer_that_takes_nothing_is_given_up_at_once(
    pair: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the one time-out, neither more to write nor the end of the connection waits again."""
    subject, peer = pair
    with pytest.raises(TimedOut):
        subject.write(LARGE)
    monkeypatch.setattr(channel, "WRITE_TIMEOUT", ANOTHER_WAIT)
    start = time.monotonic()
    subject.write(b"* BYE idle for too long\r\n")
    with pytest.raises(Disconnected):
        subject.write(LARGE)
    subject.write(b"* BYE\r\n")
    subject.close()
    assert time.monotonic() - start < ANOTHER_WAIT
    assert peer.fileno() >= 0


def test_the_same_inside_tls(
    tmp_path: Path, pair: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificate(tmp_path / "key.pem", tmp_path / "cert.pem")
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate_file(str(tmp_path / "cert.pem"))
    context.use_privatekey_file(str(tmp_path / "key.pem"))
    subject, peer = pair
    wrapped: list[ssl.SSLSocket] = []
    client = threading.Thread(target=lambda: wrapped.append(lenient_tls().wrap_socket(peer)))
    client.start()
    subject.start_tls(context, 10)
    client.join()
    with pytest.raises(TimedOut):
        subject.write(LARGE)
    monkeypatch.setattr(channel, "WRITE_TIMEOUT", ANOTHER_WAIT)
    start = time.monotonic()
    subject.write(bytes(channel.WRITE_BUFFER - 1))  # OpenSSL takes it for the same octets tried again
    subject.close()
    assert time.monotonic() - start < ANOTHER_WAIT
    wrapped[0].close()


def test_what_is_left_is_sent_at_the_end(pair: tuple[Channel, socket.socket]) -> None:
    """A peer that reads gets the goodbye; reading that timed out says nothing about writing."""
    subject, peer = pair
    with pytest.raises(TimedOut):
        subject.read(0.01)
    subject.write(b"* BYE idle for too long\r\n")
    subject.close()
    assert peer.recv(100) == b"* BYE idle for too long\r\n"
    assert peer.recv(100) == b""


def test_a_peer_that_has_gone(pair: tuple[Channel, socket.socket]) -> None:
    subject, peer = pair
    peer.close()
    subject.write(b"x")
    with pytest.raises(Disconnected):
        subject.flush()
    subject.write(b"y")
    subject.close()


def test_a_command_in_two_pieces_is_not_held_up() -> None:
    """The client's Nagle algorithm waits for our acknowledgement, which the kernel likes to put off for 40 ms.

    The quickest of many rounds is taken, so that a busy machine cannot make the test fail.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _address = listening.accept()
    subject = Channel(accepted)

    def serve() -> None:
        line = b""
        while data := subject.read(30.0):
            line += data
            if line.endswith(b"\r\n"):
                subject.write(b"OK\r\n")
                subject.flush()
                line = b""

    server = threading.Thread(target=serve)
    server.start()
    rounds = []
    for _round in range(40):
        start = time.monotonic()
        for piece in (b"A1 NOOP", b"\r\n"):
            client.sendall(piece)
        assert client.recv(100) == b"OK\r\n"
        rounds.append(time.monotonic() - start)
    client.close()
    server.join()
    subject.close()
    assert min(rounds[20:]) < 0.03, "acknowledged only when the kernel felt like it"


# The dialogue in a file


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """A directory for traces, as a descriptor."""
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def lines_of(tmp_path: Path) -> list[str]:
    """The lines of the only trace, without their times."""
    (path,) = tmp_path.iterdir()
    return [line.partition(" ")[2] for line in path.read_text().splitlines()]


def test_a_trace_counts_until_it_may_show(tmp_path: Path, folder: int) -> None:
    """What is deflated is written as it was before; what is not text stays on its line."""
    ours, peer = socket.socketpair()
    with peer:
        subject = Channel(ours, Trace.create(folder, "imaps"))
        peer.sendall(b"a LOGIN alice secret\r\nb NO")
        subject.read(1)
        subject.write(b"a OK\r\n")
        subject.start_deflate()
        subject.reveal()
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        peer.sendall(deflate.compress(b"OP\r\nc \xe9\\\x00") + deflate.flush(zlib.Z_SYNC_FLUSH))
        subject.read(1)
        subject.write(b"* BYE\r\n")
        assert subject.descriptors[0] == ours.fileno() and len(subject.descriptors) == 2
        subject.close()
    assert lines_of(tmp_path)[1:] == [
        "# 26 octets from the client",
        r"S: a OK\r\n",
        "# from here on everything is shown",
        r"C: OP\r\n",
        r"C: c \xe9\\\x00",
        r"S: * BYE\r\n",
    ]


def test_a_trace_takes_no_file_that_is_there(tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_args: "now")
    Trace.create(folder, "imaps").close()
    (path,) = tmp_path.iterdir()
    with pytest.raises(FileExistsError):
        Trace.create(folder, "imaps")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        Trace.create(folder, "imaps")
    assert not (tmp_path / "elsewhere").exists()
