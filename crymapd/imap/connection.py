"""The server's side of the stream: octets in, events out. It opens nothing and knows no command.

A command is cut into fragments (line, literal, line, ..., line) before it is parsed, and the limits of lines and
literals are checked here, so that client and server agree where the next command begins, even after a bad one.

A literal is either an argument, which is kept with its command, or a message, which is handed out while it arrives.
Only a caller that knows the commands can say which it is. So after `LiteralAnnounced` the caller must call
`keep_literal`, `stream_literal` or `pass_over`. A caller that refuses a command keeps its answer to itself until the
rest of the command has been passed over, which the event `PassedOver` says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crymapd.imap.response import Done
from crymapd.protocol.foreign import Protocol, recognize
from crymapd.protocol.lines import LineBuffer, LongLine

_LITERAL = re.compile(rb"~?\{(\d{1,20})(\+?)\}\Z")
_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]{1,128}(?= |\Z)')
_OTHER_PROTOCOLS = (Protocol.HTTP, Protocol.SMTP, Protocol.POP3)


@dataclass(frozen=True, slots=True)
class CommandLimits:
    """The limits of one command.

    Attributes:
        line: octets of its lines together.
        literal: octets of one literal that is kept.
        literals: octets of all literals that are kept.
        count: number of literals that are kept.
    """

    line: int
    literal: int
    literals: int
    count: int


BEFORE_LOGIN = CommandLimits(line=32 * 1024, literal=4096, literals=32 * 1024, count=64)
AFTER_LOGIN = CommandLimits(line=64 * 1024, literal=1 << 20, literals=4 << 20, count=1000)


@dataclass(frozen=True, slots=True)
class Command:
    """A command is complete.

    Attributes:
        fragments: line, literal, line, ..., line; the lines are without their line ends. If literals of the command
            were streamed, only the fragments after the last of these.
    """

    fragments: list[bytes]


@dataclass(frozen=True, slots=True)
class Continuation:
    """The client has sent the line that it was asked for, such as a SASL response or the DONE of IDLE."""

    line: bytes


@dataclass(frozen=True, slots=True)
class ContinueNeeded:
    """The client waits for `+` before it sends the literal it announced."""


@dataclass(frozen=True, slots=True)
class LiteralAnnounced:
    """A literal was announced; call `keep_literal`, `stream_literal` or `pass_over` before the next event.

    Attributes:
        fragments: the command since its beginning, or since its last streamed literal; the last line is without the
            announcement.
        size: the length of the literal in octets.
    """

    fragments: list[bytes]
    size: int


@dataclass(frozen=True, slots=True)
class LiteralData:
    """Some octets of a streamed literal have arrived; `last` says whether they complete it."""

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A refused command has come to its end and must be answered now.

    Attributes:
        tag: the tag of the command; None if it had none.
        done: the answer, where a limit of lines and literals was exceeded; None where the caller refused the command.
    """

    tag: bytes | None
    done: Done | None


Event = Command | Continuation | ContinueNeeded | LiteralAnnounced | LiteralData | PassedOver


class Connection:
    """Cuts the stream into events: feed `receive_data`, then call `next_event` until it returns None."""

    def __init__(self) -> None:
        self.limits = BEFORE_LOGIN
        self._lines = LineBuffer()
        self._continuation_expected = False
        self._ready: Event | None = None  # the event that a decision about a literal has caused
        self._forget_command()

    def _forget_command(self) -> None:
        """Forget the command in progress and expect a new one."""
        self._has_begun = False
        self._tag: bytes | None = None
        self._fragments: list[bytes] = []
        self._line_octets = 0  # how many octets the lines among _fragments have
        self._literal_octets = 0  # how many octets the literals among _fragments have
        self._announced: int | None = None  # the size of the literal that waits for a decision
        self._client_waits = False  # whether the client waits for `+` before it sends the literal
        self._literal_left: int | None = None  # how many octets of it are still to come; None outside a literal
        self._is_streaming = False
        self._kept = bytearray()  # the octets so far of a literal that is kept
        self._is_passing_over = False
        self._refusal: Done | None = None  # the answer to the command, if a limit was exceeded

    def receive_data(self, data: bytes) -> None:
        self._lines.feed(data)

    @property
    def is_empty(self) -> bool:
        """Whether all octets that the client has sent have been handed out."""
        return not self._lines

    def expect_continuation(self) -> None:
        """Hand out the next line as `Continuation` rather than as a command."""
        self._continuation_expected = True

    def next_event(self) -> Event | None:
        """Return the next event, or None if more octets must be received first."""
        if self._announced is not None:
            raise RuntimeError("a literal waits for a decision")
        event, self._ready = self._ready, None
        while event is None:
            if self._literal_left is not None:
                data = self._lines.take_octets(self._literal_left)
                if self._literal_left and not data:
                    return None
                event = self._take_literal(data, self._literal_left - len(data))
            else:
                line = self._lines.take_line(self.limits.line - self._line_octets)
                if line is None:
                    return None
                event = self._take_line(line)
        return event

    # Decisions

    def keep_literal(self) -> None:
        """Keep the announced literal as an argument; if it exceeds the limits, refuse its command."""
        size = self._announced_size()
        self._literal_octets += size
        limits = self.limits
        if size > limits.literal or self._literal_octets > limits.literals or len(self._fragments) // 2 >= limits.count:
            text = f"literals have at most {limits.literal} octets each, {limits.literals} together"
            self._refusal = Done("BAD", text, "TOOBIG")
            self.pass_over()
            return
        self._announced = None
        self._literal_left = size
        if self._client_waits:
            self._ready = ContinueNeeded()

    def stream_literal(self) -> None:
        """Hand out the announced literal as `LiteralData` while it arrives."""
        self._literal_left = self._announced_size()
        self._announced = None
        self._is_streaming = True
        self._fragments = []
        self._line_octets = 0
        if self._client_waits:
            self._ready = ContinueNeeded()

    def pass_over(self) -> None:
        """Refuse the command: hand out nothing more of it but `PassedOver` at its end.

        That is at once if an announced literal is refused for which the client waits for `+`, as it will not send it.
        Otherwise the client sends the rest of the command in any case.
        """
        if not self._has_begun:
            raise RuntimeError("no command is in progress")
        self._is_passing_over = True
        if self._announced is not None:
            self._literal_left, self._announced = self._announced, None
            if self._client_waits:
                self._ready = self._passed_over()

    def _announced_size(self) -> int:
        if self._announced is None:
            raise RuntimeError("no literal has been announced")
        return self._announced

    def _passed_over(self) -> PassedOver:
        event = PassedOver(self._tag, self._refusal)
        self._forget_command()
        return event

    # Cutting

    def _take_line(self, line: bytes | LongLine) -> Event | None:
        if isinstance(line, LongLine):
            self._refuse_long_line(line)
            line = line.end
        if self._is_passing_over:
            return self._pass_over_line(line)
        if self._continuation_expected:
            self._continuation_expected = False
            return Continuation(line)
        if not self._has_begun:
            if not line.strip():
                return None  # iOS sends stray line ends between commands
            self._has_begun = True
            self._tag = tag_of(line)
        self._fragments.append(line)
        self._line_octets += len(line)
        literal = _announcement_in(line)
        if literal is not None:
            self._announced = size = int(literal[1])
            self._client_waits = not literal[2]
            return LiteralAnnounced([*self._fragments[:-1], line[: literal.start()]], size)
        fragments = self._fragments
        self._forget_command()
        return Command(fragments)

    def _refuse_long_line(self, line: LongLine) -> None:
        if not self._is_passing_over:
            if not self._has_begun:
                self._tag = tag_of(line.start)
            self._is_passing_over = True
            self._refusal = Done("BAD", f"a command line has at most {self.limits.line} octets", "TOOBIG")

    def _pass_over_line(self, line: bytes) -> Event | None:
        """Pass over a line of a refused command.

        The command ends here unless the line announces a literal that the client sends without waiting for `+`.
        """
        literal = _announcement_in(line)
        if literal is not None and literal[2]:
            self._literal_left = int(literal[1])
            return None
        self._continuation_expected = False
        return self._passed_over()

    def _take_literal(self, data: bytes, left: int) -> Event | None:
        is_last = not left
        self._literal_left = left or None
        if self._is_passing_over:
            return None
        if self._is_streaming:
            self._is_streaming = not is_last
            return LiteralData(data, is_last)
        self._kept += data
        if is_last:
            self._fragments.append(bytes(self._kept))
            self._kept.clear()
        return None


def _announcement_in(line: bytes) -> re.Match[bytes] | None:
    """Find the announcement of a literal at the end of a line."""
    return _LITERAL.search(line) if line.endswith(b"}") else None


def tag_of(line: bytes) -> bytes | None:
    """Return the tag with which a line begins; None if it does not, or if nothing follows the tag."""
    tag = _TAG.match(line)
    return tag[0] if tag is not None and tag.end() < len(line) else None


def is_foreign(line: bytes) -> bool:
    """Return whether a malformed line comes from a client of another protocol: a command of IMAP begins with a tag."""
    return not _TAG.match(line) or recognize(line, _OTHER_PROTOCOLS) is not None
