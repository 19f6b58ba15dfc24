"""A channel of octets with deadlines; TLS (and later deflate) are inside, protocols never look.

Nothing here threads or loops in the background: a read or a flush waits in `poll` until it is done
or its time is over.
"""

from __future__ import annotations

import select
import socket
import time
import zlib

from OpenSSL import SSL

WRITE_BUFFER = 64 * 1024
WRITE_TIMEOUT = 60.0
_READ = 64 * 1024
DEFLATE_LEVEL = 3


class Disconnected(Exception):
    """The peer is gone, or sent something that is no TLS."""


class TimedOut(Exception):
    """The peer did not send, or take, anything in time."""


class Channel:
    """Octets in and out of a connected socket, through TLS when `start_tls` was called."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._tls: SSL.Connection | None = None
        self._out = bytearray()
        self._stuck = False  # sending failed: nothing more will be tried
        self._deflate: zlib._Compress | None = None
        self._inflate: zlib._Decompress | None = None
        self.octets_in = self.octets_out = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def start_tls(self, context: SSL.Context, timeout: float) -> str:
        """The server's side of the handshake; returns version, cipher and group for the log.

        Raises:
            Disconnected, TimedOut.
        """
        self._tls = SSL.Connection(context, self._socket)
        self._tls.set_accept_state()
        deadline = time.monotonic() + timeout
        tls = self._tls
        while True:
            try:
                tls.do_handshake()
            except SSL.WantReadError:
                self._wait(select.POLLIN, deadline)
            except SSL.WantWriteError:
                self._wait(select.POLLOUT, deadline)
            except (SSL.Error, OSError) as error:
                raise Disconnected("TLS handshake failed") from error
            else:
                return f"{tls.get_protocol_version_name()} {tls.get_cipher_name()}"

    def start_deflate(self) -> None:
        """From here on both directions are deflated (RFC 4978), inside TLS; what is queued goes out before."""
        self.flush()
        self._deflate = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def has_buffered(self) -> bool:
        """Whether octets are decrypted and waiting, of which `poll` on the socket knows nothing."""
        if self._inflate is not None and self._inflate.unconsumed_tail:
            return True
        return self._tls is not None and self._tls.pending() > 0

    @property
    def is_readable(self) -> bool:
        """Whether `read` would answer at once."""
        return self.is_readable_within(0)

    def is_readable_within(self, seconds: float) -> bool:
        """Whether it will after so long; what is queued is not sent meanwhile."""
        if self.has_buffered:
            return True
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def read(self, timeout: float) -> bytes:
        """Some octets, at most 64 KiB, as soon as there are any; empty when the peer has closed.

        Raises:
            TimedOut, Disconnected.
        """
        deadline = time.monotonic() + timeout
        if self._inflate is None:
            return self._receive(deadline)
        while True:
            packed = self._inflate.unconsumed_tail or self._receive(deadline)
            if not packed:
                return b""
            try:
                data = self._inflate.decompress(packed, _READ)
            except zlib.error as error:
                raise Disconnected("what was sent is not deflated") from error
            if data:
                return data
            if self._inflate.eof:
                raise Disconnected("the deflated stream ended")

    def _receive(self, deadline: float) -> bytes:
        while True:
            try:
                data = self._tls.recv(_READ) if self._tls is not None else self._socket.recv(_READ)
            except (SSL.WantReadError, BlockingIOError):
                self._wait(select.POLLIN, deadline)
            except SSL.WantWriteError:
                self._wait(select.POLLOUT, deadline)
            except SSL.ZeroReturnError:
                return b""
            except (SSL.Error, OSError) as error:
                raise Disconnected("connection lost") from error
            else:
                self.octets_in += len(data)
                return data

    def write(self, data: bytes) -> None:
        """Queue octets; a full buffer is sent before more is taken, so memory is bounded."""
        self._out += data
        if len(self._out) >= WRITE_BUFFER:
            self.flush()

    def flush(self) -> None:
        """Send everything queued.

        Raises:
            TimedOut: the peer takes nothing for a minute.
            Disconnected: it is gone, or took nothing before: nobody waits for it twice.
        """
        # A fresh buffer, not a cleared one: where sending fails, the exception still holds pieces of the old.
        queued, self._out = self._out, bytearray()
        if not queued:
            return
        if self._stuck:
            raise Disconnected("the client took nothing before")
        view = memoryview(self._packed(queued))
        sent = 0
        deadline = time.monotonic() + WRITE_TIMEOUT
        try:
            while sent < len(view):
                count = self._send(view[sent : sent + WRITE_BUFFER], deadline)
                if count:
                    deadline = time.monotonic() + WRITE_TIMEOUT
                sent += count
        except (TimedOut, Disconnected):
            self._stuck = True
            raise
        finally:
            self.octets_out += sent

    def _packed(self, queued: bytearray) -> bytes | bytearray:
        """Deflated to a full octet, so that the peer can read all of it now."""
        if self._deflate is None:
            return queued
        return self._deflate.compress(queued) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _send(self, data: memoryview, deadline: float) -> int:
        try:
            return self._tls.send(data) if self._tls is not None else self._socket.send(data)
        except (SSL.WantWriteError, BlockingIOError):
            self._wait(select.POLLOUT, deadline)
        except SSL.WantReadError:
            self._wait(select.POLLIN, deadline)
        except (SSL.Error, OSError) as error:
            raise Disconnected("connection lost") from error
        return 0

    def _wait(self, event: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(self._socket, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            raise TimedOut("the client took too long")

    def close(self) -> None:
        """Send what is left, say goodbye in TLS, close. Never raises."""
        try:
            self.flush()
            if self._tls is not None:
                self._tls.shutdown()
        except (Disconnected, TimedOut, SSL.Error, OSError):
            pass  # the peer went first
        self._socket.close()
