"""Octets in and out of a connected socket, cut into whole IMAP responses. Every read has a deadline."""

from __future__ import annotations

import re
import socket
import ssl
import time
import zlib

# A status line has no literals, whatever its text ends with.
_STATUS = re.compile(rb"(?:\+|(?:\*|[^ ]+) (?:OK|NO|BAD|BYE|PREAUTH))(?: |\r\n)", re.I)
_ANNOUNCED = re.compile(rb"~?\{([0-9]{1,19})\}\r\n\Z")


class Closed(ConnectionError):
    """The server closed the connection; `rest` is what came without an end."""

    def __init__(self, rest: bytes = b"") -> None:
        super().__init__(f"connection closed by the server, after {rest[-80:]!r}")
        self.rest = rest


def lenient_tls() -> ssl.SSLContext:
    """TLS without a look at the certificate: the tests' own is self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Stream:
    """A socket read in frames: one response with its literals and its final CRLF."""

    def __init__(self, sock: socket.socket, timeout: float = 10.0) -> None:
        self.sock = sock
        self.timeout = timeout
        self._buffer = bytearray()
        self._searched = 0  # no CRLF begins before this
        self._line = 0  # where the line being read began
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
            TimeoutError: nothing whole came in time; what came is kept for the next call.
            Closed: the server closed the connection.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while (end := self._frame_end()) is None:
            self._fill(deadline)
        frame = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._searched = self._line = 0
        return frame

    def _frame_end(self) -> int | None:
        """The end of the first response, if it is all there; else remembers how far it looked."""
        while True:
            found = self._buffer.find(b"\r\n", max(self._searched, self._line))
            if found < 0:
                self._searched = max(self._line, len(self._buffer) - 1)
                return None
            size = self._literal(found + 2)
            if size is None:
                return found + 2
            if len(self._buffer) < found + 2 + size:
                self._searched = found
                return None
            self._line = self._searched = found + 2 + size

    def _literal(self, end: int) -> int | None:
        """The literal announced by the line that ends here."""
        if _STATUS.match(self._buffer):
            return None
        announced = _ANNOUNCED.search(self._buffer, max(self._line, end - 25), end)
        return int(announced.group(1)) if announced else None

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
        """RFC 4978 section 3: raw deflate both ways, after the tagged OK."""
        self._deflate = zlib.compressobj(wbits=-15)
        self._inflate = zlib.decompressobj(wbits=-15)
        self._buffer[:] = self._inflate.decompress(bytes(self._buffer))

    def close(self) -> None:
        self.sock.close()
