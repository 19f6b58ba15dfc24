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

The first line is the reason. Other lines that begin with `#`, and empty ones, are comments.

Lines (a number after the first letter, 2 to 9, means another session, opened on first use):

    C: text     send text and CRLF; directly after CL it is the rest of the same command line
    CL: text    send exactly these octets: Python escapes, UTF-8, no CRLF; `<<<text>>>` guards spaces
    S: text     the next line of the server, whole
    SL: text    a literal, exactly these octets (escapes as above), after an S: line that ends with {n};
                the S: line after it goes on in the same response
    S*: text    leave out responses until one matches; a tagged response is never left out
    S!: text    no response from the last command to its tagged answer may match, left out or not
    S?{ .. S?}  the S: responses in between come in any order
    S: <<close>>    the server closes the connection

In C and S lines: `<<name:regex>>` captures, `<<name>>` is what was captured (by any session), `<<*>>` any
text, `<<sp>>` a space where an editor would eat it. In C lines `{CL}` and `{CL+}` become the size of the
next CL.

Directives: `!login` (the default: every session logs in, unseen), `!nologin` (the transcript begins with
the greeting), `!lax` (answers need not follow the grammar; all are checked otherwise), `!append MAILBOX
"message"` (escapes as above, flags in parentheses before it if any; first session, unseen), `!select
MAILBOX` (the same), and `!deliver NAME`, which may also stand between lines: delivery while the session
looks on.
"""

from __future__ import annotations

import re
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tests.testlib.answers import Enabled
from tests.testlib.client import quote
from tests.testlib.grammar import Options, Ungrammatical, parse
from tests.testlib.stream import Closed, Stream

_LINE = re.compile(r"(C|CL|S|SL|S\*|S!|S\?)([2-9]?)(?:: ?(.*)|(\{|\}))", re.S)
_NUMBERED = re.compile(r"(C|S)([2-9])(L|\*|!|\?)?(?=[:{}])")
_MARK = re.compile(r"<<(\*|[A-Za-z_]\w*)(?::(.*?))?>>")
_SIZE = re.compile(r"\{CL(\+?)\}")
_TAGGED = re.compile(rb"(?![*+] )[^ ]+ (?:OK|NO|BAD)\b")
_CLOSE = "<<close>>"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file. Kinds: `C`, `CL`, `S`, `SL`, `S*`, `S!`, `S?{`, `S?}`, and `!` for directives."""

    number: int
    kind: str
    session: str
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    path: Path
    reason: str
    lines: tuple[Line, ...]


def read(path: Path) -> Script:
    """Read a transcript; complains about lines it does not understand."""
    text = path.read_text(encoding="utf-8").split("\n")
    if not text[0].startswith("# ") or not text[0][2:].strip():
        raise ValueError(f"{path}:1: the first line must be the reason, after `# `")
    numbered = [(n, line) for n, line in enumerate(text[1:], 2) if line.strip() and line[0] != "#"]
    return Script(path, text[0][2:].strip(), tuple(_line(path, n, line) for n, line in numbered))


def _line(path: Path, number: int, text: str) -> Line:
    if text.startswith("!"):
        return Line(number, "!", "", text[1:].strip())
    # `C2L:` and `S2*:` are as good as `CL2:` and `S*2:`.
    match = _LINE.fullmatch(_NUMBERED.sub(r"\1\3\2", text, count=1))
    if not match or (match[4] is not None) != (match[1] == "S?"):
        raise ValueError(f"{path}:{number}: not a line of a transcript: {text!r}")
    return Line(number, match[1] + (match[4] or ""), match[2] or "1", match[3] or "")


def unescape(text: str) -> bytes:
    r"""Python escapes as octets: `\r\n\x00`; other characters in UTF-8."""
    if text.startswith("<<<") and text.endswith(">>>"):
        text = text[3:-3]
    pieces = re.split(r"(\\x[0-9a-fA-F]{2}|\\[0abfnrtv\\'\"])", text)
    return b"".join(
        piece.encode().decode("unicode_escape").encode("latin-1") if index % 2 else piece.encode()
        for index, piece in enumerate(pieces)
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """One response: lines, with literals between."""

    number: int
    parts: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return "\n".join(f"{kind}: {text}" for kind, text in self.parts)

    def pattern(self, captured: dict[str, str]) -> re.Pattern[bytes]:
        return re.compile(b"".join(_pattern(kind, text, captured) for kind, text in self.parts), re.S)


def _pattern(kind: str, text: str, captured: dict[str, str]) -> bytes:
    """A regular expression for the octets of this line (with its CRLF) or literal."""
    if kind == "SL" and (text.startswith("<<<") or not _MARK.search(text)):
        return re.escape(unescape(text))
    made, done = b"", 0
    for mark in _MARK.finditer(text):
        made += _fixed(kind, text[done : mark.start()]) + _mark(kind, mark, captured)
        done = mark.end()
    return made + _fixed(kind, text[done:]) + (b"" if kind == "SL" else rb"\r\n")


def _fixed(kind: str, text: str) -> bytes:
    return re.escape(unescape(text) if kind == "SL" else text.encode())


def _mark(kind: str, mark: re.Match[str], captured: dict[str, str]) -> bytes:
    name, regex = mark.groups()
    if name == "*":
        return b".*" if kind == "SL" else rb"[^\r\n]*"
    if regex is not None:
        return f"(?P<{name}>{regex})".encode()
    assert name in captured, f"<<{name}>> was never captured"
    return re.escape(captured[name].encode("utf-8", "surrogateescape"))


@dataclass(slots=True)
class Session:
    """A connection of a transcript and what it remembers since its last command."""

    stream: Stream
    strict: bool
    utf8: bool = False
    since_command: list[bytes] = field(default_factory=list)
    forbidden: list[Expected] = field(default_factory=list)

    def receive(self) -> bytes:
        frame = self.stream.read_frame()
        if self.strict:
            answer = parse(frame, Options(utf8=self.utf8))
            names = answer.names if isinstance(answer, Enabled) else ()
            self.utf8 |= bool({"IMAP4REV2", "UTF8=ACCEPT"} & {name.upper() for name in names})
        return frame

    def unseen(self, command: str) -> None:
        """A command of the preparation, which must succeed. Literals are synchronising and end the line."""
        line, *literals = re.split(rb"(?<=\}\r\n)", command.encode("utf-8", "surrogateescape"), maxsplit=1)
        self.stream.send(b"unseen " + line + (b"" if literals else b"\r\n"))
        while not (frame := self.receive()).startswith(b"unseen "):
            if frame.startswith(b"+") and literals:
                self.stream.send(literals.pop() + b"\r\n")
        assert frame.startswith(b"unseen OK "), f"preparation failed: {command[:80]!r}: {frame!r}"


@dataclass(slots=True)
class Run:
    """One run through a script."""

    script: Script
    connect: Callable[[], socket.socket]
    deliver: Callable[[str], None]
    user: str
    password: str
    timeout: float
    before_command: Callable[[], None] = lambda: None
    login: bool = True
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
            self._unordered(line, list(_block(line, lines)))
        elif line.kind == "S" and line.text == _CLOSE:
            self._closed(line)
        else:
            self._server(line, _expected(line, lines))

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
        if word == "login" or word == "nologin":
            self.login = word == "login"
        elif word == "lax":
            self.strict = False
        elif word == "deliver":
            self.deliver(rest.strip())
        elif word == "select":
            self._session("1").unseen(f"SELECT {quote(rest.strip())}")
        elif word == "append":
            self._append(line, rest)
        else:
            raise ValueError(f"{self.script.path}:{line.number}: unknown directive !{word}")

    def _append(self, line: Line, rest: str) -> None:
        match = re.fullmatch(r'(\S+|".*?") (?:(\([^)]*\)) )?"(.*)"', rest)
        if not match:
            raise ValueError(f'{self.script.path}:{line.number}: !append MAILBOX [(flags)] "message"')
        mailbox, flags, message = match[1], match[2], unescape(match[3])
        command = f"APPEND {mailbox} {flags + ' ' if flags else ''}{{{len(message)}}}\r\n"
        self._session("1").unseen(command + message.decode("utf-8", "surrogateescape"))

    def _session(self, name: str) -> Session:
        if name not in self.sessions:
            session = Session(Stream(self.connect(), self.timeout), self.strict)
            self.sessions[name] = session
            if self.login and session.receive().startswith(b"* OK"):
                session.unseen(f"LOGIN {quote(self.user)} {quote(self.password)}")
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
        session.stream.send(data)

    def _substituted(self, line: Line, lines: Iterable[Line]) -> str:
        def size(mark: re.Match[str]) -> str:
            literal = next(later for later in lines if later.kind == "CL" and later.session == line.session)
            return f"{{{len(unescape(literal.text))}{mark[1]}}}"

        def value(mark: re.Match[str]) -> str:
            assert mark[2] is None and mark[1] in self.captured, f"{mark[0]} has no value"
            return self.captured[mark[1]]

        return _SIZE.sub(size, _MARK.sub(value, line.text))

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
        """A response is dealt with: keep what it captured, look whether it was forbidden."""
        if match:
            found = match.groupdict().items()
            self.captured |= {n: v.decode("utf-8", "surrogateescape") for n, v in found if v is not None}
        for forbidden in session.forbidden:
            self._refuse(forbidden, frame)
        session.since_command.append(frame)
        if _TAGGED.match(frame):
            session.forbidden.clear()

    def _forbid(self, session: Session, expected: Expected) -> None:
        for frame in session.since_command:
            self._refuse(expected, frame)
        if not any(_TAGGED.match(frame) for frame in session.since_command):
            session.forbidden.append(expected)

    def _refuse(self, forbidden: Expected, frame: bytes) -> None:
        if forbidden.pattern(self.captured).fullmatch(frame):
            self._fail(forbidden.number, f"nothing like {forbidden}", _shown(frame))

    def _skip_to(self, line: Line, expected: Expected) -> None:
        session = self._session(line.session)
        while not (match := expected.pattern(self.captured).fullmatch(frame := self._receive(line))):
            if _TAGGED.match(frame):
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

    # Telling

    def _note(self, side: str, session: str, data: bytes) -> None:
        name = side + (session if session != "1" else "")
        self.dialogue.extend(f"{name}: {part}" for part in _shown(data).split("\n"))

    def _fail(self, number: int, expected: str, received: str) -> NoReturn:
        said = "\n".join(f"    {line}" for line in self.dialogue)
        raise AssertionError(
            f"{self.script.path}:{number}: {self.script.reason}\n"
            f"  expected: {expected}\n  received: {received}\n  dialogue:\n{said}"
        ) from None


def _expected(line: Line, lines: deque[Line]) -> Expected:
    """A server line with the literals and continuing lines after it."""
    parts = [(line.kind[0], line.text)]
    while lines and lines[0].kind == "SL" and lines[0].session == line.session:
        parts.append(("SL", lines.popleft().text))
        if not lines or lines[0].kind != "S" or lines[0].session != line.session:
            raise ValueError(f"line {line.number}: an S: line must follow the literal")
        parts.append(("S", lines.popleft().text))
    return Expected(line.number, tuple(parts))


def _block(line: Line, lines: deque[Line]) -> Iterator[Expected]:
    while lines and lines[0].kind != "S?}":
        inner = lines.popleft()
        if inner.kind != "S" or inner.session != line.session:
            raise ValueError(f"line {inner.number}: only S: lines of the same session in a block")
        yield _expected(inner, lines)
    if not lines:
        raise ValueError(f"line {line.number}: the block never ends")
    lines.popleft()


def _shown(data: bytes) -> str:
    """For a person: a line per line, escapes for what has no picture, long ones cut."""
    lines = data.removesuffix(b"\r\n").split(b"\r\n")
    return "\n".join(repr(line[:300])[2:-1] + ("..." if len(line) > 300 else "") for line in lines)


def run(
    path: Path,
    connect: Callable[[], socket.socket],
    deliver: Callable[[str], None],
    *,
    user: str = "alice",
    password: str = "correct horse",
    timeout: float = 10.0,
    before_command: Callable[[], None] = lambda: None,
) -> None:
    """Hold the dialogue of one file.

    Args:
        path: the transcript.
        connect: opens another connection to the server, TLS already done if there is any.
        deliver: brings this message of the corpus to the user's inbox, and returns when it is there.
        user: who logs in, with `password`.
        timeout: seconds for each response.
        before_command: called before each C line.

    Raises:
        AssertionError: the server said something else; with file, line, both texts and the last ten lines.
        ValueError: the file is no transcript.
    """
    Run(read(path), connect, deliver, user, password, timeout, before_command).run()


def find(root: Path) -> list[Path]:
    """The transcripts below this directory, sorted: for `pytest.mark.parametrize`."""
    return sorted(root.glob("**/*.txt"))
