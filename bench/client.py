"""Clients that cost next to nothing, so that what is measured is the server."""

from __future__ import annotations

import re
import socket
import ssl

from tests.testlib.addresses import Address, Tcp
from tests.testlib.server import trusting

_CHUNK = 1 << 18
_TAIL = 1024
_CONTEXT = trusting()


class Refused(Exception):
    """The server did not do what it was asked to; the argument is its response."""


def _connected(address: Address, timeout: float) -> socket.socket:
    """A connected socket that sends at once whatever it is given."""
    sock = address.connect(timeout)
    if isinstance(address, Tcp):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _received(sock: socket.socket) -> bytes:
    """The octets that come next. Raises Refused when the server has closed the connection."""
    chunk = sock.recv(_CHUNK)
    if not chunk:
        raise Refused("the connection was closed")
    return chunk


class Imap:
    """A connection to an `imaps` service, whose greeting was read."""

    def __init__(self, address: Address, timeout: float = 600) -> None:
        self._sock: ssl.SSLSocket = _CONTEXT.wrap_socket(_connected(address, timeout))
        self._number = 0
        self.received = 0
        self._literal_plus = False
        self._line()

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += _received(self._sock)
        return line

    def login(self, user: str, password: str) -> Imap:
        self.command(f'LOGIN {user} "{password}"'.encode())
        self._literal_plus = b"LITERAL+" in self.command(b"CAPABILITY")
        return self

    def command(self, line: bytes, *, keep: bool = True) -> bytes:
        """Do a command and return all its responses, or without `keep` only their end. Raises Refused."""
        tag = self._tag()
        self._sock.sendall(tag + b" " + line + b"\r\n")
        return self._answer(tag, keep=keep)

    def append(self, mailbox: bytes, *messages: bytes) -> bytes:
        """APPEND one or several messages; where the server has LITERAL+, no literal waits for it."""
        tag = self._tag()
        line, waiting = tag + b" APPEND " + mailbox, []
        for message in messages:
            unasked = self._literal_plus or len(message) <= 4096
            waiting += [line, b" {%d%b}\r\n" % (len(message), b"+" if unasked else b"")]
            if not unasked:
                self._sock.sendall(b"".join(waiting))
                waiting = []
                if not self._line().startswith(b"+"):
                    raise Refused(line)
            waiting.append(message)
            line = b""
        self._sock.sendall(b"".join(waiting) + b"\r\n")
        return self._answer(tag)

    def idle(self) -> None:
        """Begin IDLE; `notice` reads what the server then says."""
        self._sock.sendall(self._tag() + b" IDLE\r\n")
        self._line()

    def notice(self, timeout: float = 35) -> bytes:
        self._sock.settimeout(timeout)
        return self._line()

    def logout(self) -> None:
        self.command(b"LOGOUT")
        self.close()

    def close(self) -> None:
        self._sock.close()

    def _tag(self) -> bytes:
        self._number += 1
        return b"x%dy" % self._number

    def _answer(self, tag: bytes, *, keep: bool = True) -> bytes:
        chunks: list[bytes] = []
        end = b""
        while True:
            chunk = _received(self._sock)
            self.received += len(chunk)
            if keep:
                chunks.append(chunk)
            end = chunk[-_TAIL:] if len(chunk) >= _TAIL else (end + chunk)[-_TAIL:]
            if end.endswith(b"\r\n"):
                last = end[end.rfind(b"\r\n", 0, -2) + 2 :] if b"\r\n" in end[:-2] else end
                if last.startswith(tag + b" "):
                    if not last.startswith(tag + b" OK"):
                        raise Refused(last)
                    return b"".join(chunks) if keep else end


def number(answer: bytes, item: bytes) -> int:
    """The number after a word, as in `UIDNEXT 7`."""
    match = re.search(item + rb" (\d+)", answer)
    assert match, (item, answer)
    return int(match[1])


class Lmtp:
    """A connection to an `lmtp` service, which delivers to one user."""

    def __init__(self, address: Address, user: str, timeout: float = 60) -> None:
        self._sock = _connected(address, timeout)
        self._user = user.encode()
        self._reply()
        self._say(b"LHLO localhost")

    def deliver(self, message: bytes) -> None:
        """Deliver a message that ends with CRLF. Raises Refused."""
        self._say(b"MAIL FROM:<a@example.org>")
        self._say(b"RCPT TO:<" + self._user + b">")
        self._say(b"DATA")
        stuffed = re.sub(rb"(?m)^\.", b"..", message)
        self._say(stuffed + b".")

    def close(self) -> None:
        self._sock.close()

    def _say(self, line: bytes) -> None:
        self._sock.sendall(line + b"\r\n")
        self._reply()

    def _reply(self) -> None:
        reply = b""
        while not re.search(rb"(?m)^\d{3} .*\r\n\Z", reply):
            reply += _received(self._sock)
        if reply[:1] not in b"23":
            raise Refused(reply)
