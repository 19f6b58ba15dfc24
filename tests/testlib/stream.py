"""A connected socket whose octets are read as whole responses. Every read has a deadline."""

from __future__ import annotations

import socket
import ssl
import time
import zlib

from tests.testlib.framing import Framing, ImapFraming
from tests.testlib.patience import PATIENCE_SECONDS


class Closed(ConnectionError):
    """The server closed the connection; `rest` holds the octets of a response that it did not finish."""

    def __init__(self, rest: bytes = b"") -> None:
        super().__init__(f"connection closed by the server, after {rest[-80:]!r}")
        self.rest = rest


def lenient_tls() -> ssl.SSLContext:
    """A TLS client that accepts any certificate, because the one of the tests is self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Stream:
    """A socket that is read in frames, each of them one whole response.

    Args:
        sock: the connected socket, which `close` closes.
        timeout: seconds that `send`, and `read_frame` by default, may take.
        framing: tells where a response ends; without one the server is taken to speak IMAP.
    """

    def __init__(self, sock: socket.socket, timeout: float = PATIENCE_SECONDS, framing: Framing | None = None) -> None:
        self.sock = sock
        self.timeout = timeout
        self._framing = framing or ImapFraming()
        self._buffer = bytearray()
        self._inflate: zlib._Decompress | None = None
        self._deflate: zlib._Compress | None = None

    def send(self, data: bytes) -> None:
        self.sock.settimeout(self.timeout)
        if self._deflate:
            data = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)

    def read_frame(self, timeout: float | None = None) -> bytes:
        """The next whole response.

        Raises:
            TimeoutError: no whole response came in time; the octets that did come are kept for the next call.
            Closed: the server closed the connection.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while (end := self._framing.end(self._buffer)) is None:
            self._fill(deadline)
        frame = bytes(self._buffer[:end])
        del self._buffer[:end]
        return frame

    def _fill(self, deadline: float) -> None:
        self.sock.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.sock.recv(1 << 18)
        except TimeoutError:
            raise TimeoutError(f"no whole response in time, after {bytes(self._buffer[-80:])!r}") from None
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            raise Closed(bytes(self._buffer))
        self._buffer += self._inflate.decompress(data) if self._inflate else data

    def start_tls(self, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        assert not self._buffer, f"octets before the TLS handshake: {bytes(self._buffer)!r}"
        self.sock.settimeout(self.timeout)
        self.sock = context.wrap_socket(self.sock, server_hostname=server_hostname)

    def start_deflate(self) -> None:
        """Compress in both directions from here on, as RFC 4978 section 3 wants it after the tagged OK."""
        self._deflate = zlib.compressobj(wbits=-15)
        self._inflate = zlib.decompressobj(wbits=-15)
        self._buffer[:] = self._inflate.decompress(bytes(self._buffer))

    def close(self) -> None:
        self.sock.close()
