"""A client that costs next to nothing, so that what is measured is the server."""

from __future__ import annotations

import re
import socket
import ssl

from tests.testlib.server import trusting

_CHUNK = 1 << 18
_TAIL = 1024
_CONTEXT = trusting()


class Refused(Exception):
    """A tagged answer other than OK."""


class Imap:
    """One connection; the greeting is read."""

    def __init__(self, port: int, timeout: float = 600) -> None:
        raw = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock: ssl.SSLSocket = _CONTEXT.wrap_socket(raw)
        self._number = 0
        self.received = 0
        self._literal_plus = False
        self._line()

    def _line(self) -> bytes:
        found = b""
        while not found.endswith(b"\r\n"):
            found += self._sock.recv(_CHUNK)
        return found

    def login(self, user: str, password: str) -> Imap:
        self.command(f'LOGIN {user} "{password}"'.encode())
        self._literal_plus = b"LITERAL+" in self.command(b"CAPABILITY")
        return self

    def command(self, line: bytes, *, keep: bool = True) -> bytes:
        """The whole answer; without `keep` only its end. Raises Refused."""
        tag = self._tag()
        self._sock.sendall(tag + b" " + line + b"\r\n")
        return self._answer(tag, keep=keep)

    def append(self, mailbox: bytes, *messages: bytes) -> bytes:
        """APPEND or MULTIAPPEND; literals wait for nobody where the server has LITERAL+."""
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
        """Begin IDLE; what comes is read with `notice`."""
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
            chunk = self._sock.recv(_CHUNK)
            if not chunk:
                raise Refused("the connection was closed")
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
    """The number behind a word, as in `UIDNEXT 7`."""
    found = re.search(item + rb" (\d+)", answer)
    assert found, (item, answer)
    return int(found[1])


class Lmtp:
    """One LMTP connection that delivers to one user."""

    def __init__(self, port: int, user: str) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._user = user.encode()
        self._reply()
        self._say(b"LHLO localhost")

    def deliver(self, message: bytes) -> None:
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
        found = b""
        while not re.search(rb"(?m)^\d{3} .*\r\n\Z", found):
            found += self._sock.recv(4096)
        if found[:1] not in b"23":
            raise Refused(found)
