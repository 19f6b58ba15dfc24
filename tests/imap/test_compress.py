"""COMPRESS=DEFLATE (RFC 4978) with a client that deflates; transcripts have what is refused."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest

from tests.testlib.answers import Capability, Exists, Fetch
from tests.testlib.client import Client, Closed
from tests.testlib.process import bounded, workers
from tests.testlib.server import Server, running

LARGE = b"Subject: large\r\n\r\n" + b"".join(b"line %d of many\r\n" % number for number in range(200_000))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("compress") / "root") as started:
        yield started
        assert "BUG" not in started.log()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as connected:
        yield connected


def test_everything_works_as_without(client: Client) -> None:
    client.compress()
    client.ok("APPEND Drafts {}", LARGE)
    client.ok("APPEND Drafts {+}", b"Subject: small\r\n\r\n")
    assert client.ok("SELECT Drafts").one(Exists).count == 2
    assert client.ok("FETCH 1 BODY.PEEK[]").one(Fetch).octets("BODY[]") == LARGE
    assert client.ok("CAPABILITY").one(Capability)
    assert [client.finish(tag).status for tag in [client.send("NOOP") for _ in range(50)]] == ["OK"] * 50
    client.logout()


def test_it_makes_answers_smaller(client: Client) -> None:
    """Counted below the deflater: 200,000 similar lines."""
    client.ok("APPEND Sent {+}", LARGE)
    client.ok("SELECT Sent")
    client.compress()
    end = client.send("FETCH 1 BODY.PEEK[]").encode() + b" OK"
    inflate, sock = zlib.decompressobj(wbits=-15), client.stream.sock
    received, text = 0, b""
    while end not in text[-200:]:
        packed = sock.recv(65536)
        received += len(packed)
        text += inflate.decompress(packed)
    assert LARGE in text and received < len(LARGE) / 4


def test_an_update_in_idle_comes_at_once(server: Server, client: Client) -> None:
    """A block that is only partly flushed would stay in the deflater."""
    client.ok("SELECT INBOX")
    client.compress()
    with client.idle() as idle:
        server.deliver(b"Subject: new\r\n\r\n")
        assert idle.wait_for(Exists).count >= 1


def test_twice_is_refused(client: Client) -> None:
    client.compress()
    result = client.command("COMPRESS DEFLATE")
    assert result.status == "NO" and result.code is not None and result.code.name == "COMPRESSIONACTIVE"
    client.ok("NOOP")


def test_octets_that_come_one_by_one(client: Client) -> None:
    client.compress()
    deflate = zlib.compressobj(wbits=-15)
    for octet in deflate.compress(b"X NOOP\r\n") + deflate.flush(zlib.Z_SYNC_FLUSH):
        client.stream.sock.sendall(bytes([octet]))
    assert client.finish("X").status == "OK"


@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH])
def test_every_flush_is_understood(client: Client, flush: int) -> None:
    client.compress()
    deflate = zlib.compressobj(wbits=-15)
    client.stream.sock.sendall(deflate.compress(b"X NOOP\r\n") + deflate.flush(flush))
    assert client.finish("X").status == "OK"


@pytest.mark.parametrize("size", [65535, 65536, 65537, 131072, 200_000])
def test_the_end_of_a_read_hides_nothing(client: Client, size: int) -> None:
    """What fills the server's buffer to the octet, with more inside the inflater and nothing left to receive."""
    client.compress()
    tail = b"\r\nX NOOP\r\n"
    text = b"X APPEND Nowhere {%d+}\r\n" % (size - 100)
    octets = text + bytes(size - 100) + tail
    client.stream.send(octets)
    assert client.finish("X").status == "NO"
    assert client.finish("X").status == "OK"


def test_a_bomb_stays_small(server: Server) -> None:
    """Ten megabytes of zeros in ten kilobytes: no command, and never held as a whole.

    The account is its own: indexing the mail of other tests would be measured as well.
    """
    assert server.process is not None
    server.add_user("bombed")
    with server.client("bombed") as client:
        client.compress()
        worker = workers(server.process.pid)[-1]
        with bounded(worker, seconds=5, mib=4):
            client.stream.send(bytes(10_000_000) + b"\r\n")
            answer = client.stream.read_frame()
            assert answer.startswith((b"* BAD", b"* BYE"))


def test_what_is_not_deflated_ends_the_connection(client: Client) -> None:
    client.compress()
    client.stream.sock.sendall(b"\xff" * 100)
    with pytest.raises(Closed):
        while True:
            client.stream.read_frame()


def test_a_stream_that_ends_ends_the_connection(client: Client) -> None:
    client.compress()
    client.stream.sock.sendall(zlib.compressobj(wbits=-15).flush(zlib.Z_FINISH))
    with pytest.raises(Closed):
        while True:
            client.stream.read_frame()
