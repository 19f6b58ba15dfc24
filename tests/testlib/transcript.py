r"""Transcripts: the dialogue a server must hold, as a plain file of client and server lines.

    # RFC 9051 section 6.3.2: EXAMINE opens read-only.
    !deliver welcome
    C: A1 EXAMINE INBOX
    S?{
    S: * 1 EXISTS
    S: * OK [UIDVALIDITY <<validity:[0-9]+>>] <<*>>
    S?}
    S*: A1 OK [READ-ONLY] <<*>>
    C2: B1 STATUS INBOX (UIDVALIDITY)
    S2: * STATUS INBOX (UIDVALIDITY <<validity>>)
    S2: B1 OK <<*>>

The first line gives the reason.  Further lines that begin with `#`, and empty ones, are comments.

A number from 2 to 9 after the first letter of a line means another session, which is opened when it is first used:

    C: text     send this text and CRLF; directly after a CL line, it continues the same command
    CL: text    send exactly these octets: Python escapes, UTF-8, no CRLF; `<<<text>>>` guards spaces
    S: text     the next response must be this line
    SL: text    it continues with a literal of exactly these octets (escapes as above), after an S line
                that ends with {n}; the S line after the literal continues the same response
    S*: text    skip responses until one matches; the response that ends an answer is never skipped
    S!: text    no response to the last command may match, whether it is skipped or not
    S?{ .. S?}  the S responses between these two come in any order
    S: <<close>>    the server closes the connection

In C and S lines, `<<name:regex>>` captures a value, `<<name>>` stands for a value that any session captured, `<<*>>`
for any text, and `<<sp>>` for a space that an editor would remove.  In C lines, `{CL}` and `{CL+}` become the size of
the next CL line.

Directives:

    !login      every session logs in, unseen; IMAP does so by default
    !nologin    nothing is prepared: the transcript itself expects the greeting
    !lax        responses need not follow the grammar, which is otherwise checked for every one of them
    !deliver NAME   deliver this message of the corpus; also between other lines, while a session looks on

and those of IMAP, which act unseen in the first session:

    !append MAILBOX "message"   append it (escapes as above, flags in parentheses before it if there are any)
    !select MAILBOX             select it

The protocol makes a few differences, all of which are in `tests/testlib/dialects.py`.  In SMTP and LMTP a session
begins with EHLO or LHLO instead of a login, and lines that begin with `250-` continue in the next S line:

    # RFC 2033 section 4.2: one reply for each recipient.
    C: LHLO client.example
    S: 250-mx.example
    S: 250 PIPELINING
"""

from __future__ import annotations

import re
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tests.testlib.dialects import Account, Dialect, Opening, begin_with_nothing, dialect_of
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.scanner import Ungrammatical
from tests.testlib.script import MARK, SIZE, Expected, Line, Script, read, unescape
from tests.testlib.stream import Closed, Stream

_CLOSE = "<<close>>"


@dataclass(slots=True)
class Session:
    """A connection of a transcript.

    Attributes:
        stream: where its responses come from.
        check: raises Ungrammatical for a response that does not follow the grammar.
        since_command: the responses that came after its last command.
        forbidden: what the responses that still belong to that command must not be.
    """

    stream: Stream
    check: Callable[[bytes], None]
    since_command: list[bytes] = field(default_factory=list)
    forbidden: list[Expected] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        self.stream.send(data)

    def receive(self) -> bytes:
        frame = self.stream.read_frame()
        self.check(frame)
        return frame


@dataclass(slots=True)
class Run:
    """One run through a script; the arguments are those of `run`."""

    script: Script
    dialect: Dialect
    connect: Callable[[], socket.socket]
    deliver: Callable[[str], None]
    account: Account
    timeout: float
    before_command: Callable[[], None]
    opening: Opening | None = None
    strict: bool = True
    sessions: dict[str, Session] = field(default_factory=dict)
    captured: dict[str, str] = field(default_factory=lambda: {"sp": " "})
    dialogue: deque[str] = field(default_factory=lambda: deque(maxlen=10))

    def run(self) -> None:
        lines = deque(self.script.lines)
        try:
            while lines:
                self._step(lines)
        finally:
            for session in self.sessions.values():
                session.stream.close()

    def _step(self, lines: deque[Line]) -> None:
        line = lines[0]
        try:
            self._do(lines.popleft(), lines)
        except (OSError, Ungrammatical) as error:
            self._fail(line.number, f"{line.kind}: {line.text}", f"{type(error).__name__}: {error}")
        except AssertionError as error:
            if error.args and str(error.args[0]).startswith(str(self.script.path)):
                raise
            self._fail(line.number, f"{line.kind}: {line.text}", str(error))

    def _do(self, line: Line, lines: deque[Line]) -> None:
        if line.kind == "!":
            self._directive(line)
        elif line.kind in ("C", "CL"):
            if line.kind == "C":
                self.before_command()
            self._send(line, lines)
        elif line.kind == "S?{":
            self._unordered(line, list(self._block(line, lines)))
        elif line.kind == "S" and line.text == _CLOSE:
            self._closed(line)
        else:
            self._server(line, self._expected(line, lines))

    def _server(self, line: Line, expected: Expected) -> None:
        session = self._session(line.session)
        if line.kind == "S!":
            self._forbid(session, expected)
        elif line.kind == "S*":
            self._skip_to(line, expected)
        elif line.kind == "S":
            frame = self._receive(line)
            self._settle(session, frame, self._match(expected, frame))
        else:
            raise ValueError(f"{self.script.path}:{line.number}: {line.kind} stands alone")

    # The client's side

    def _directive(self, line: Line) -> None:
        word, _, rest = line.text.partition(" ")
        if word == "login":
            self.opening = self.dialect.login
        elif word == "nologin":
            self.opening = begin_with_nothing
        elif word == "lax":
            self.strict = False
        elif word == "deliver":
            self.deliver(rest.strip())
        elif word in self.dialect.directives:
            self._prepare(line, word, rest)
        else:
            raise ValueError(f"{self.script.path}:{line.number}: unknown directive !{word}")

    def _prepare(self, line: Line, word: str, rest: str) -> None:
        session = self._session("1")
        try:
            self.dialect.directives[word](session, rest)
        except Ungrammatical:
            raise
        except ValueError as error:
            raise ValueError(f"{self.script.path}:{line.number}: {error}") from None

    def _session(self, name: str) -> Session:
        """The session of this name, which is opened when it is first used."""
        if name not in self.sessions:
            stream = Stream(self.connect(), self.timeout, self.dialect.framing())
            session = Session(stream, self.dialect.grammar() if self.strict else _accept_all)
            self.sessions[name] = session
            (self.opening or self.dialect.begin)(session, self.account)
        return self.sessions[name]

    def _send(self, line: Line, lines: Iterable[Line]) -> None:
        session = self._session(line.session)
        if line.kind == "CL":
            data = unescape(line.text)
        else:
            data = self._substituted(line, lines).encode("utf-8", "surrogateescape") + b"\r\n"
            session.since_command.clear()
            session.forbidden.clear()
        self._note("C", line.session, data)
        session.send(data)

    def _substituted(self, line: Line, lines: Iterable[Line]) -> str:
        def size(mark: re.Match[str]) -> str:
            literal = next(later for later in lines if later.kind == "CL" and later.session == line.session)
            return self.dialect.size(len(unescape(literal.text)), mark[1])

        def value(mark: re.Match[str]) -> str:
            assert mark[2] is None and mark[1] in self.captured, f"{mark[0]} has no value"
            return self.captured[mark[1]]

        return SIZE.sub(size, MARK.sub(value, line.text))

    # The server's side

    def _receive(self, line: Line) -> bytes:
        frame = self._session(line.session).receive()
        self._note("S", line.session, frame)
        return frame

    def _match(self, expected: Expected, frame: bytes) -> re.Match[bytes]:
        match = expected.pattern(self.captured).fullmatch(frame)
        if not match:
            self._fail(expected.number, str(expected), _shown(frame))
        return match

    def _settle(self, session: Session, frame: bytes, match: re.Match[bytes] | None) -> None:
        """Finish with a response: keep the values it captured, and fail if it was forbidden."""
        if match:
            values = match.groupdict().items()
            self.captured |= {n: v.decode("utf-8", "surrogateescape") for n, v in values if v is not None}
        for forbidden in session.forbidden:
            self._refuse(forbidden, frame)
        session.since_command.append(frame)
        if self.dialect.is_final(frame):
            session.forbidden.clear()

    def _forbid(self, session: Session, expected: Expected) -> None:
        for frame in session.since_command:
            self._refuse(expected, frame)
        if not any(self.dialect.is_final(frame) for frame in session.since_command):
            session.forbidden.append(expected)

    def _refuse(self, forbidden: Expected, frame: bytes) -> None:
        if forbidden.pattern(self.captured).fullmatch(frame):
            self._fail(forbidden.number, f"nothing like {forbidden}", _shown(frame))

    def _skip_to(self, line: Line, expected: Expected) -> None:
        session = self._session(line.session)
        while not (match := expected.pattern(self.captured).fullmatch(frame := self._receive(line))):
            if self.dialect.is_final(frame):
                self._fail(expected.number, str(expected), _shown(frame))
            self._settle(session, frame, None)
        self._settle(session, frame, match)

    def _unordered(self, line: Line, waiting: list[Expected]) -> None:
        session = self._session(line.session)
        while waiting:
            frame = self._receive(line)
            for expected in waiting:
                if match := expected.pattern(self.captured).fullmatch(frame):
                    break
            else:
                self._fail(waiting[0].number, " or ".join(map(str, waiting)), _shown(frame))
            waiting.remove(expected)
            self._settle(session, frame, match)

    def _closed(self, line: Line) -> None:
        try:
            frame = self._receive(line)
        except Closed as closed:
            assert not closed.rest, f"cut off: {closed.rest!r}"
        else:
            self._fail(line.number, "the end of the connection", _shown(frame))

    # What the transcript expects

    def _expected(self, line: Line, lines: deque[Line]) -> Expected:
        """The response that begins with this line, with the literals and the lines that continue it."""
        parts = [(line.kind[0], line.text)]
        while (literal := _next_is("SL", line, lines)) or self.dialect.continues(parts[-1][1]):
            if literal:
                parts.append(("SL", lines.popleft().text))
            if not _next_is("S", line, lines):
                raise ValueError(f"{self.script.path}:{line.number}: an S: line must continue this response")
            parts.append(("S", lines.popleft().text))
        return Expected(line.number, tuple(parts))

    def _block(self, line: Line, lines: deque[Line]) -> Iterator[Expected]:
        """The responses up to the end of the block that this line begins."""
        while lines and lines[0].kind != "S?}":
            inner = lines.popleft()
            if inner.kind != "S" or inner.session != line.session:
                raise ValueError(
                    f"{self.script.path}:{inner.number}: only S: lines of the same session may be in a block"
                )
            yield self._expected(inner, lines)
        if not lines:
            raise ValueError(f"{self.script.path}:{line.number}: the block never ends")
        lines.popleft()

    # Reports

    def _note(self, side: str, session: str, data: bytes) -> None:
        name = side + (session if session != "1" else "")
        self.dialogue.extend(f"{name}: {part}" for part in _shown(data).split("\n"))

    def _fail(self, number: int, expected: str, received: str) -> NoReturn:
        said = "\n".join(f"    {line}" for line in self.dialogue)
        raise AssertionError(
            f"{self.script.path}:{number}: {self.script.reason}\n"
            f"  expected: {expected}\n  received: {received}\n  dialogue:\n{said}"
        ) from None


def _next_is(kind: str, line: Line, lines: deque[Line]) -> bool:
    """Whether a line of this kind comes next, in the session of the line before."""
    return bool(lines) and lines[0].kind == kind and lines[0].session == line.session


def _accept_all(_frame: bytes) -> None:
    """The grammar after `!lax`."""


def _shown(data: bytes) -> str:
    """The octets as text for a person, with escapes for what cannot be printed; long lines are cut short."""
    lines = data.removesuffix(b"\r\n").split(b"\r\n")
    return "\n".join(repr(line[:300])[2:-1] + ("..." if len(line) > 300 else "") for line in lines)


def run(
    path: Path,
    connect: Callable[[], socket.socket],
    deliver: Callable[[str], None],
    *,
    dialect: Dialect | None = None,
    user: str = "alice",
    password: str = "correct horse",
    timeout: float = PATIENCE_SECONDS,
    before_command: Callable[[], None] = lambda: None,
) -> None:
    """Hold the dialogue of one transcript with a server.

    Args:
        path: the transcript.
        connect: opens another connection to the server; where the service begins with TLS, that is done already.
        deliver: delivers the message of the corpus that has this name, and returns when it is in the user's inbox.
        dialect: what the server speaks; None for the dialect that the transcript's folder names.
        user: who logs in, with `password`.
        timeout: the seconds that each response may take.
        before_command: called before each C line.

    Raises:
        AssertionError: the server sent something else; the message has the file, the line, what was expected, what
            was received, and the last ten lines of the dialogue.
        ValueError: the file is not a transcript, or no dialect is known for it.
    """
    account = Account(user, password)
    Run(read(path), dialect or dialect_of(path), connect, deliver, account, timeout, before_command).run()


def find(root: Path) -> list[Path]:
    """The transcripts below this directory, sorted, for `pytest.mark.parametrize`."""
    return sorted(root.glob("**/*.txt"))
