"""A channel of octets with deadlines; TLS and deflate are inside it, and protocols never look.

Nothing here runs in the background: a read or a flush waits in `poll` until it is done or its time is over.
"""

from __future__ import annotations

import os
import select
import socket
import time
import zlib
from contextlib import suppress

from OpenSSL import SSL, crypto

from crymapd.unix.signals import EndRequest

WRITE_BUFFER = 64 * 1024
WRITE_TIMEOUT = 60.0
_READ = 64 * 1024
DEFLATE_LEVEL = 3
_HANGUP = getattr(select, "POLLRDHUP", 0)
"""The event that the peer has closed, where the kernel has it; errors and a hang-up in both directions always count."""


class Disconnected(Exception):
    """The peer is gone, or has sent something that is no TLS."""


class TimedOut(Exception):
    """The peer did not send, or take, anything in time."""


class ToldToEnd(Exception):
    """A signal has asked this process to end; raised at the next wait for what the peer sends."""


class Trace:
    """A dialogue in a file, as it goes inside TLS and deflate: a line for each line, with seconds and direction.

    The client's passwords are left out without knowing its protocol: until `reveal` is called, which is for the
    conversation to do once no password will come any more, what the client sends is only counted.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._started = time.monotonic()
        self._revealed = False
        self._note("until login the client's octets are counted and not shown, as they may hold a password")

    @classmethod
    def create(cls, directory: int, service: str) -> Trace:
        """Begin a file in a directory, which is given as a descriptor; nobody else can read the file.

        Raises:
            OSError: it cannot be made; a file or symlink of its name is one reason.
        """
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{service}-{os.getpid()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC
        return cls(os.open(name, flags, 0o600, dir_fd=directory))

    def fileno(self) -> int:
        return self._descriptor

    def reveal(self) -> None:
        """Show what the client sends from here on."""
        if not self._revealed:
            self._revealed = True
            self._note("from here on everything is shown")

    def received(self, data: bytes) -> None:
        """Write what the client has sent."""
        if self._revealed:
            self._write(b"C: ", data)
        else:
            self._note(f"{len(data)} octets from the client")

    def sent(self, data: bytes | bytearray) -> None:
        """Write what the client is being told."""
        self._write(b"S: ", data)

    def close(self) -> None:
        os.close(self._descriptor)

    def _note(self, text: str) -> None:
        self._write(b"# ", text.encode())

    def _write(self, direction: bytes, data: bytes | bytearray) -> None:
        begin = f"{time.monotonic() - self._started:.3f} ".encode() + direction
        lines = (begin + line.decode("latin-1").encode("unicode_escape") for line in data.splitlines(keepends=True))
        with suppress(OSError):  # a full disk must not end the connection
            os.write(self._descriptor, b"\n".join(lines) + b"\n")


class Channel:
    """Octets in and out of a connected socket, through TLS when `start_tls` was called.

    Args:
        sock: the socket; the channel closes it.
        trace: where the dialogue is written, if anywhere; the channel closes that as well.
        end: ends every wait for what the peer sends with `ToldToEnd`.
    """

    def __init__(self, sock: socket.socket, trace: Trace | None = None, end: EndRequest | None = None) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a phone that is gone must not hold a worker
            self._acknowledges = hasattr(socket, "TCP_QUICKACK")
        else:
            self._acknowledges = False
        self._socket = sock
        self._trace = trace
        self._end = end
        self._tls: SSL.Connection | None = None
        self._out = bytearray()
        self._stuck = False  # sending failed: nothing more will be tried
        self._deflate: zlib._Compress | None = None
        self._inflate: zlib._Decompress | None = None
        self.octets_in = self.octets_out = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Everything that is open for this connection, so that a child can close it."""
        trace = () if self._trace is None else (self._trace.fileno(),)
        return (self.fileno(), *trace, *(() if self._end is None else self._end.descriptors))

    @property
    def awaited(self) -> tuple[int, ...]:
        """The descriptors to wait for: when one of them can be read, `read` returns or raises at once."""
        return (self.fileno(),) if self._end is None else (self.fileno(), self._end.fileno())

    def reveal(self) -> None:
        """Let the trace show what the client sends, because no password will come any more."""
        if self._trace is not None:
            self._trace.reveal()

    def start_tls(self, context: SSL.Context, timeout: float) -> str:
        """Do the server's side of the handshake; returns version and cipher for the log.

        Raises:
            Disconnected, TimedOut, ToldToEnd.
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

    def replace_certificate(self, certificate: crypto.X509) -> None:
        """After the handshake, put another certificate into the connection, so that its private key is let go of."""
        assert self._tls is not None
        self._tls.use_certificate(certificate)

    def start_deflate(self) -> None:
        """Deflate both directions from here on (RFC 4978), inside TLS; what is already queued is sent uncompressed."""
        self.flush()
        self._deflate = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def has_buffered(self) -> bool:
        """Whether decrypted or inflated octets are waiting, which `poll` on the socket cannot see."""
        if self._inflate is not None and self._inflate.unconsumed_tail:
            return True
        return self._tls is not None and self._tls.pending() > 0

    @property
    def is_readable(self) -> bool:
        """Whether `read` would answer at once."""
        return self.is_readable_within(0)

    def is_readable_within(self, seconds: float) -> bool:
        """Wait so long at most; whether `read` would answer at once then. What is queued is not sent meanwhile."""
        if self.has_buffered:
            return True
        if seconds:
            self._acknowledge()
        poller = select.poll()
        for fd in self.awaited:
            poller.register(fd, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def pause(self, seconds: float) -> None:
        """Wait so long, however much the peer sends meanwhile, which stays unread.

        Raises:
            Disconnected: the peer has hung up.
            ToldToEnd.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._heed_end()
            poller = select.poll()
            poller.register(self._socket, _HANGUP)
            if self._end is not None:
                poller.register(self._end, select.POLLIN)
            ready = dict(poller.poll(max(deadline - time.monotonic(), 0) * 1000))
            if self.fileno() in ready or self._has_closed():
                raise Disconnected("the client hung up")
            if time.monotonic() >= deadline:
                return

    def _has_closed(self) -> bool:
        """Whether the peer has closed; unknown, and then False, while anything that it sent is unread."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def read(self, timeout: float) -> bytes:
        """Some octets, at most 64 KiB, as soon as there are any; empty when the peer has closed.

        Raises:
            TimedOut, Disconnected, ToldToEnd.
        """
        self._heed_end()
        deadline = time.monotonic() + timeout
        data = self._receive(deadline) if self._inflate is None else self._inflated(self._inflate, deadline)
        if self._trace is not None and data:
            self._trace.received(data)
        return data

    def _inflated(self, inflate: zlib._Decompress, deadline: float) -> bytes:
        while True:
            packed = inflate.unconsumed_tail or self._receive(deadline)
            if not packed:
                return b""
            try:
                data = inflate.decompress(packed, _READ)
            except zlib.error as error:
                raise Disconnected("what was sent is not deflated") from error
            if data:
                return data
            if inflate.eof:
                raise Disconnected("the deflated stream ended")

    def _receive(self, deadline: float) -> bytes:
        while True:
            try:
                data = self._tls.recv(_READ) if self._tls is not None else self._socket.recv(_READ)
            except (SSL.WantReadError, BlockingIOError):
                self._acknowledge()
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
            TimedOut: the peer took nothing for a minute.
            Disconnected: it is gone; or it took nothing before, as nobody waits for it twice.
            ToldToEnd: TLS has to read something first, and nothing more is read.
        """
        # A fresh buffer, not a cleared one: where sending fails, the exception still holds pieces of the old.
        queued, self._out = self._out, bytearray()
        if not queued:
            return
        if self._stuck:
            raise Disconnected("the client took nothing before")
        if self._trace is not None:
            self._trace.sent(queued)
        view = memoryview(self._packed(queued))
        sent = 0
        deadline = time.monotonic() + WRITE_TIMEOUT
        try:
            while sent < len(view):
                count = self._send(view[sent : sent + WRITE_BUFFER], deadline)
                if count:
                    deadline = time.monotonic() + WRITE_TIMEOUT
                sent += count
        except (TimedOut, Disconnected, ToldToEnd):
            self._stuck = True
            raise
        finally:
            self.octets_out += sent

    def _packed(self, queued: bytearray) -> bytes | bytearray:
        """Deflate what was queued up to a full octet, so that the peer can read all of it now."""
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

    def _acknowledge(self) -> None:
        """Acknowledge what has come before waiting for more.

        A client that writes a command in two pieces (imaplib at APPEND, Ruby's net-imap, tokio) sends the second when
        the first is acknowledged (Nagle's algorithm), and the kernel would put that off for 40 ms.
        """
        if self._acknowledges:
            with suppress(OSError):  # the connection is gone, as the next read will say
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _wait(self, event: int, deadline: float) -> None:
        """Wait until the socket is ready, and no longer than until the deadline.

        When this process is told to end, nothing more is read; but a client that takes an answer, piece by piece, is
        given all of it.
        """
        poller = select.poll()
        poller.register(self._socket, event)
        is_writing = event == select.POLLOUT
        if self._end is not None and not (is_writing and self._end.is_made):
            poller.register(self._end, select.POLLIN)
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            raise TimedOut("the client took too long")
        if not is_writing:
            self._heed_end()

    def _heed_end(self) -> None:
        if self._end is not None and self._end.is_made:
            raise ToldToEnd

    def close(self) -> None:
        """Send what is left, say goodbye in TLS, close. Never raises."""
        try:
            self.flush()
            if self._tls is not None:
                self._tls.shutdown()
        except (Disconnected, TimedOut, ToldToEnd, SSL.Error, OSError):
            pass  # the peer went first, or takes nothing
        self._socket.close()
        if self._trace is not None:
            self._trace.close()
            self._trace = None
