"""The server's side of the stream: octets in, events out. It opens nothing and parses no arguments.

Commands are cut into fragments before anything is understood of them, and every limit lives here,
so a bad command never loses step with the client.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LITERAL = re.compile(rb"(~?)\{(\d{1,20})(\+?)\}\Z")
_APPEND = re.compile(rb"[^ ]+ (?:UID )?(?:APPEND|REPLACE) ", re.IGNORECASE)
_MAILBOX_LITERAL = re.compile(rb"[^ ]+ (?:APPEND|(?:UID )?REPLACE [^ ]+) \Z", re.IGNORECASE)
_TAG = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,128}) ')
_TAGGED = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]{1,128}(?: +[^/ ].*| *)', re.DOTALL)
_OTHER_PROTOCOLS = frozenset(
    (
        *(b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI"),  # HTTP
        *(b"EHLO", b"HELO", b"LHLO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"QUIT"),  # SMTP, LMTP
        *(b"USER", b"PASS", b"APOP", b"AUTH", b"CAPA", b"STLS"),  # POP3
    )
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a command may take: octets of its lines, of one literal, of all literals, and their number."""

    line: int
    literal: int
    literals: int
    count: int


BEFORE_LOGIN = Limits(line=8192, literal=4096, literals=8192, count=4)
AFTER_LOGIN = Limits(line=64 * 1024, literal=1 << 20, literals=4 << 20, count=1000)


@dataclass(frozen=True, slots=True)
class Command:
    """A complete command: line, literal, line, ..., line. Lines are without their ends."""

    fragments: list[bytes]


@dataclass(frozen=True, slots=True)
class Continuation:
    """A line that was asked for: a SASL response, the DONE of IDLE."""

    line: bytes


@dataclass(frozen=True, slots=True)
class ContinueNeeded:
    """A synchronising literal was accepted: send `+`."""


@dataclass(frozen=True, slots=True)
class MessageLiteral:
    """APPEND comes to a message: `accept_literal` or `refuse_literal` it.

    `fragments` are those since the command or the last message began, the last without the literal's
    announcement.
    """

    fragments: list[bytes]
    size: int
    first: bool


@dataclass(frozen=True, slots=True)
class MessageData:
    """Octets of an accepted message."""

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that broke a limit (or whose literal was refused) has been passed over."""

    tag: bytes | None
    reason: str


Event = Command | Continuation | ContinueNeeded | MessageLiteral | MessageData | Refused


class Connection:
    """Cuts the stream. Feed `receive_data`, ask `next_event` until it answers None."""

    def __init__(self) -> None:
        self.limits = BEFORE_LOGIN
        self._buffer = bytearray()
        self._searched = 0
        self._fragments: list[bytes] = []
        self._line_octets = 0  # of the lines in _fragments
        self._literal = bytearray()  # what came of the literal at hand, where it is an argument
        self._tag: bytes | None = None
        self._literal_left = 0
        self._message = False  # the literal at hand is a message
        self._undecided: tuple[int, bool] | None = None
        self._appending = False
        self._messages = 0
        self._continuation = False
        self._swallowing: Refused | None = None
        self._literal_octets = 0

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    @property
    def is_empty(self) -> bool:
        """Whether the client has sent nothing beyond what was handed out."""
        return not self._buffer

    def expect_continuation(self) -> None:
        """The next line is no command."""
        self._continuation = True

    def next_event(self) -> Event | None:
        """The next event, or None until more is received."""
        while True:
            if self._undecided is not None:
                raise RuntimeError("a message literal waits for accept_literal or refuse_literal")
            if self._literal_left:
                if not self._buffer:
                    return None
                event = self._literal_data()
            else:
                line = self._take_line()
                if line is None:
                    return None
                event = self._line(line)
            if event is not None:
                return event

    # Message literals

    def accept_literal(self) -> bool:
        """Take the message; True when the client waits for `+`."""
        size, sync = self._decide()
        self._literal_left = size
        self._message = True
        self._messages += 1
        return sync

    def refuse_literal(self, reason: str) -> Refused | None:
        """Do not take it. A client that sends it anyway is read to the command's end, then `Refused` comes."""
        size, sync = self._decide()
        refused = Refused(self._tag, reason)
        if sync:
            self._reset()
            return refused
        self._literal_left = size
        self._swallowing = refused
        return None

    def _decide(self) -> tuple[int, bool]:
        if self._undecided is None:
            raise RuntimeError("no message literal waits")
        decided, self._undecided = self._undecided, None
        return decided

    def abandon_command(self, reason: str) -> None:
        """Pass over what is left of the command in progress; `Refused` follows at its end."""
        self._swallowing = Refused(self._tag, reason)
        self._message = False

    # Cutting

    def _take_line(self) -> bytes | None:
        newline = self._buffer.find(b"\n", self._searched)
        if newline < 0:
            if len(self._buffer) > self._line_left:
                self._too_long()
                del self._buffer[:-64]  # the end may announce a literal
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:newline])
        del self._buffer[: newline + 1]
        self._searched = 0
        if len(line) > self._line_left:
            self._too_long(line)
        return line[:-1] if line.endswith(b"\r") else line

    @property
    def _line_left(self) -> int:
        """How long the next line may be; a line that was asked for is none of the command's."""
        return self.limits.line - self._line_octets

    def _too_long(self, line: bytes | None = None) -> None:
        if self._swallowing is None:
            if not self._fragments and not self._messages:
                self._tag = tag_of(bytes(self._buffer[:200]) if line is None else line[:200])
            self._swallowing = Refused(self._tag, f"a command line has at most {self.limits.line} octets")

    def _line(self, line: bytes) -> Event | None:
        if self._continuation and self._swallowing is None:
            self._continuation = False
            return Continuation(line)
        literal = _LITERAL.search(line)
        if self._swallowing is not None:
            if literal and literal[3]:
                self._literal_left = int(literal[2])
                return None
            refused = self._swallowing
            self._continuation = False
            self._reset()
            return refused
        if not self._fragments and not self._messages:
            self._tag = tag_of(line)
        self._fragments.append(line)
        self._line_octets += len(line)
        if literal:
            return self._announced(line, literal)
        if len(self._fragments) == 1 and not self._messages and not line.strip():
            self._reset()  # stray line ends between commands (iOS) mean nothing
            return None
        fragments = self._fragments
        self._reset()
        return Command(fragments)

    def _announced(self, line: bytes, literal: re.Match[bytes]) -> Event | None:
        size, sync = int(literal[2]), not literal[3]
        before = line[: literal.start()]
        if len(self._fragments) == 1 and not self._messages:
            self._appending = bool(_APPEND.match(before)) and not _MAILBOX_LITERAL.match(before)
        elif not self._messages and _MAILBOX_LITERAL.match(self._fragments[0].rpartition(b"{")[0].rstrip(b"~")):
            self._appending = len(self._fragments) == 3
        if self._appending and self.limits is AFTER_LOGIN:
            self._undecided = size, sync
            shown = [*self._fragments[:-1], before]
            self._fragments = []
            self._line_octets = 0
            return MessageLiteral(shown, size, first=not self._messages)
        return self._argument(size, sync)

    def _argument(self, size: int, sync: bool) -> Event | None:
        """A literal that is an argument: small, and kept."""
        self._literal_octets += size
        count = len(self._fragments) // 2 + 1
        if size > self.limits.literal or self._literal_octets > self.limits.literals or count > self.limits.count:
            refused = Refused(
                self._tag,
                f"literals have at most {self.limits.literal} octets each, {self.limits.literals} together",
            )
            if sync:
                self._reset()
                return refused
            self._swallowing = refused
            self._literal_left = size
            return None
        self._literal_left = size
        self._fragments.append(b"")
        return ContinueNeeded() if sync else None

    def _literal_data(self) -> Event | None:
        data = bytes(self._buffer[: self._literal_left])
        del self._buffer[: len(data)]
        self._searched = 0
        self._literal_left -= len(data)
        if self._swallowing is not None:
            return None
        if self._message:
            last = not self._literal_left
            self._message = not last
            return MessageData(data, last)
        self._literal += data
        if not self._literal_left:
            self._fragments[-1] = bytes(self._literal)
            self._literal = bytearray()
        return None

    def _reset(self) -> None:
        self._fragments = []
        self._line_octets = 0
        self._swallowing = None
        self._appending = False
        self._messages = 0
        self._literal_octets = 0
        self._message = False


def is_foreign(line: bytes) -> bool:
    """Whether a line, which was no command, speaks another protocol: no tag, a path for a name, or a verb of that one.

    A browser can be made to send us a request in its user's name (ALPACA); its lines must not be gone through.
    """
    return line.partition(b" ")[0].upper() in _OTHER_PROTOCOLS or not _TAGGED.fullmatch(line)


def tag_of(line: bytes) -> bytes | None:
    match = _TAG.match(line)
    return match[1] if match else None
