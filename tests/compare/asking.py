"""One connection to a server whose answers are taken as they come: nothing is believed, nothing is refused."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from tests.testlib.stream import Stream

Value = None | bytes | list["Value"]
"""NIL, a string or atom, a parenthesised list."""
_VALUE = re.compile(
    rb'[ \r\n]*(?:(\()|(\))|"((?:[^"\\]|\\.)*)"|~?\{(\d+)\}\r\n|((?:[^ ()"{\[\r\n]|\[[^\]]*\])+))', re.DOTALL
)
_UID = re.compile(rb"\[APPENDUID \d+ (\d+)\]")


def values(text: bytes) -> list[Value]:
    """What stands in a response, one value after another."""
    stack: list[list[Value]] = [[]]
    at = 0
    while match := _VALUE.match(text, at):
        at = match.end()
        opened, closed, quoted, literal, atom = match.groups()
        if opened:
            stack.append([])
        elif closed and len(stack) > 1:
            done = stack.pop()
            stack[-1].append(done)
        elif quoted is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", quoted))
        elif literal is not None:
            stack[-1].append(text[at : at + int(literal)])
            at += int(literal)
        elif atom:
            stack[-1].append(None if atom.upper() == b"NIL" else atom)
    return stack[0]


class Asker:
    """Commands and answers."""

    def __init__(self, sock: socket.socket) -> None:
        self._stream = Stream(sock, timeout=120.0)
        self._count = 0
        self._stream.read_frame()

    def command(self, line: bytes, *literals: bytes) -> tuple[bytes, list[bytes]]:
        """The tagged line without its tag, and the untagged ones; each `{}` stands for a literal (RFC 7888)."""
        self._count += 1
        tag = b"c%d" % self._count
        pieces = line.split(b"{}")
        sent = pieces[0]
        for literal, piece in zip(literals, pieces[1:], strict=True):
            sent += b"{%d+}\r\n" % len(literal) + literal + piece
        self._stream.send(tag + b" " + sent + b"\r\n")
        untagged = []
        while not (frame := self._stream.read_frame()).startswith(tag + b" "):
            untagged.append(frame)
        return frame[len(tag) + 1 :], untagged

    def append(self, message: bytes) -> int | None:
        """The UID that a message was given; None where it was refused."""
        end, _untagged = self.command(b"APPEND INBOX {}", message)
        match = _UID.search(end)
        return int(match[1]) if match else None

    def fetch(self, uid: int, items: list[bytes]) -> dict[bytes, Value]:
        """The items by their names in capitals, and how it ended as `status`."""
        end, untagged = self.command(b"UID FETCH %d (%b)" % (uid, b" ".join(items)))
        found: dict[bytes, Value] = {b"status": end.split(b" ")[0]}
        for frame in untagged:
            line = values(frame)
            if len(line) == 4 and line[2] == b"FETCH" and isinstance(line[3], list):
                found |= _pairs(line[3])
        return found

    def search(self, keys: bytes, *literals: bytes) -> frozenset[int] | None:
        """The UIDs found; None for a refusal."""
        end, untagged = self.command(b"UID SEARCH " + keys, *literals)
        if not end.startswith(b"OK"):
            return None
        numbers = [line.split()[2:] for line in untagged if line.startswith(b"* SEARCH")]
        return frozenset(int(number) for line in numbers for number in line)


def _pairs(items: list[Value]) -> dict[bytes, Value]:
    def each() -> Iterator[tuple[bytes, Value]]:
        for name, value in zip(items[::2], items[1::2], strict=False):
            if isinstance(name, bytes):
                yield name.upper(), value

    return dict(each())
