"""A small synchronous IMAP client that takes nothing on trust: it parses every response with the strict grammar.

    with Client.from_socket(server.connect("imaps")) as client:
        client.login("alice", "secret")
        client.ok("APPEND INBOX {}", message)
        assert client.ok("SELECT INBOX").one(Exists).count == 1

In the text of a command, `{}` stands for a synchronising literal, `{+}` for one that is not, and `~{}` and `~{+}` for a
literal8.  Their octets are the further arguments.  A number inside the braces is sent instead of the true size.
"""

from __future__ import annotations

import base64
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar

from tests.testlib.answers import Answer, Code, Continuation, Enabled, Response, Status, Tagged
from tests.testlib.grammar import Options, Ungrammatical, parse
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.stream import Closed, Stream, lenient_tls

__all__ = ["Client", "Closed", "Idle", "Result", "Ungrammatical", "quote"]

T = TypeVar("T")
_MARKER = re.compile(rb"\{([0-9]*)(\+?)\}")


def quote(text: str) -> str:
    """The text as an IMAP quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True, slots=True)
class Result:
    """The tagged response to a command, and the untagged ones that came before it."""

    tag: str
    status: str
    code: Code | None
    text: str
    untagged: list[Response] = field(default_factory=list)

    def all(self, kind: type[T]) -> list[T]:
        """The untagged responses of this type, in order."""
        return [response for response in self.untagged if isinstance(response, kind)]

    def one(self, kind: type[T]) -> T:
        """The only untagged response of this type."""
        found = self.all(kind)
        assert len(found) == 1, f"expected one {kind.__name__}, not {len(found)}: {self}"
        return found[0]

    def codes(self) -> dict[str, Code]:
        """All response codes by name, that of the tagged response included; of several with one name, the last."""
        codes = [status.code for status in self.all(Status)] + [self.code]
        return {code.name: code for code in codes if code}


class Client:
    """One connection.

    Attributes:
        stream: where responses come from.
        utf8: whether strings may be UTF-8, which an ENABLED response changes.
        greeting: the first response of the server.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.utf8 = False
        self._count = 0
        greeting = self.read_response()
        assert isinstance(greeting, Status) and greeting.status in ("OK", "PREAUTH", "BYE"), greeting
        self.greeting: Status = greeting

    @classmethod
    def from_socket(cls, sock: socket.socket, *, timeout: float = PATIENCE_SECONDS) -> Client:
        """Take over a connected socket, TLS already done, and read the greeting."""
        stream = Stream(sock, timeout)
        try:
            return cls(stream)
        except BaseException:
            stream.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection without LOGOUT."""
        self.stream.close()

    # Octets

    def send_raw(self, data: bytes) -> None:
        self.stream.send(data)

    def read_response(self, timeout: float | None = None) -> Answer:
        """The next response of any kind.

        Raises:
            Ungrammatical: the octets do not follow the grammar.
            TimeoutError: no whole response came in time.
            Closed: the server closed the connection.
        """
        answer = parse(self.stream.read_frame(timeout), Options(utf8=self.utf8))
        if isinstance(answer, Enabled) and {"IMAP4REV2", "UTF8=ACCEPT"} & {n.upper() for n in answer.names}:
            self.utf8 = True
        return answer

    # Commands

    def command(self, text: str | bytes, *literals: bytes) -> Result:
        """Send a command and read until its tagged response."""
        tag, untagged = self.next_tag(), list[Response]()
        for piece, waits in _pieces(tag, text, literals):
            self.send_raw(piece)
            if waits and isinstance(end := self._until(untagged), Tagged):
                return _result(end, tag, untagged)
        return self.finish(tag, untagged)

    def ok(self, text: str | bytes, *literals: bytes) -> Result:
        """Do a command that must succeed."""
        result = self.command(text, *literals)
        assert result.status == "OK", f"{text!r}: {result}"
        return result

    def send(self, text: str | bytes) -> str:
        """Send a command line without waiting for the response (pipelining), and return the tag for `finish`."""
        tag = self.next_tag()
        self.send_raw(tag.encode() + b" " + _octets(text) + b"\r\n")
        return tag

    def finish(self, tag: str, untagged: Iterable[Response] = ()) -> Result:
        """Read until the response with this tag; any other tag is an error."""
        collected = list(untagged)
        end = self._until(collected)
        assert isinstance(end, Tagged), f"a continuation where {tag} should end: {end}"
        return _result(end, tag, collected)

    def next_tag(self) -> str:
        self._count += 1
        return f"A{self._count:04}"

    def _until(self, untagged: list[Response]) -> Tagged | Continuation:
        while not isinstance(answer := self.read_response(), Tagged | Continuation):
            untagged.append(answer)
        return answer

    def login(self, user: str, password: str) -> Result:
        return self.ok(f"LOGIN {quote(user)} {quote(password)}")

    def authenticate(self, mechanism: str, *answers: bytes, initial: bytes | None = None) -> Result:
        """AUTHENTICATE with these responses to the challenges; `initial` is the initial response of RFC 4959."""
        return self.authenticate_with(mechanism, _in_turn(answers), initial=initial)

    def authenticate_with(
        self, mechanism: str, respond: Callable[[bytes], bytes], *, initial: bytes | None = None
    ) -> Result:
        """AUTHENTICATE with a function that turns a challenge into a response, both decoded; `b"*"` cancels."""
        first = "" if initial is None else " " + (base64.b64encode(initial).decode() or "=")
        tag, untagged = self.send(f"AUTHENTICATE {mechanism}{first}"), list[Response]()
        while isinstance(end := self._until(untagged), Continuation):
            response = respond(base64.b64decode(end.text, validate=True))
            self.send_raw((b"*" if response == b"*" else base64.b64encode(response)) + b"\r\n")
        return _result(end, tag, untagged)

    def starttls(self) -> Result:
        result = self.ok("STARTTLS")
        self.stream.start_tls(lenient_tls())
        return result

    def compress(self) -> Result:
        result = self.ok("COMPRESS DEFLATE")
        self.stream.start_deflate()
        return result

    def logout(self) -> Result:
        """LOGOUT, which must be answered with BYE, the tagged OK and the end of the connection."""
        result = self.ok("LOGOUT")
        assert [status.status for status in result.all(Status)].count("BYE") == 1, result
        self.expect_close()
        return result

    def expect_close(self, timeout: float | None = None) -> None:
        """Fail unless the server closes the connection without another response."""
        try:
            answer = self.read_response(timeout)
        except Closed as closed:
            assert not closed.rest, f"cut off: {closed.rest!r}"
        else:
            raise AssertionError(f"expected the end of the connection, not {answer}")
        self.close()

    @contextmanager
    def idle(self) -> Iterator[Idle]:
        """Be in IDLE (RFC 2177) for the length of a `with` block; `result` is set at its end."""
        tag, untagged = self.send("IDLE"), list[Response]()
        end = self._until(untagged)
        assert isinstance(end, Continuation), f"IDLE refused: {end}"
        idle = Idle(self, deque(untagged))
        yield idle
        self.send_raw(b"DONE\r\n")
        idle.result = self.finish(tag, idle.pending)
        assert idle.result.status == "OK", idle.result


@dataclass(slots=True)
class Idle:
    """What a session sees while it is in IDLE.

    Attributes:
        client: the session.
        pending: untagged responses that `wait` has not returned yet.
        result: how IDLE ended, once it has.
    """

    client: Client
    pending: deque[Response]
    result: Result | None = None

    def wait(self, timeout: float | None = None) -> Response:
        """The next untagged response. Raises TimeoutError when none comes."""
        if self.pending:
            return self.pending.popleft()
        answer = self.client.read_response(timeout)
        assert not isinstance(answer, Tagged | Continuation), f"during IDLE: {answer}"
        return answer

    def wait_for(self, kind: type[T], timeout: float | None = None) -> T:
        """The next untagged response of this type; others are skipped."""
        limit = self.client.stream.timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        while not isinstance(response := self.wait(max(0.001, deadline - time.monotonic())), kind):
            pass
        return response


def _octets(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text


def _pieces(tag: str, text: str | bytes, literals: tuple[bytes, ...]) -> Iterator[tuple[bytes, bool]]:
    """What can be sent at once, and whether to wait for a continuation request after it."""
    line = tag.encode() + b" " + _octets(text)
    markers = list(_MARKER.finditer(line)) if literals else []
    if len(markers) != len(literals):
        raise ValueError(f"{len(literals)} literals for {len(markers)} markers in {line!r}")
    done, piece = 0, b""
    for marker, literal in zip(markers, literals, strict=True):
        size, plus = marker.group(1) or str(len(literal)).encode(), marker.group(2)
        piece += line[done : marker.start()] + b"{" + size + plus + b"}\r\n"
        if not plus:
            yield piece, True
            piece = b""
        piece += literal
        done = marker.end()
    yield piece + line[done:] + b"\r\n", False


def _result(end: Tagged, tag: str, untagged: list[Response]) -> Result:
    assert end.tag == tag, f"expected the end of {tag}, not {end}"
    return Result(end.tag, end.status, end.code, end.text, untagged)


def _in_turn(answers: tuple[bytes, ...]) -> Callable[[bytes], bytes]:
    left = deque(answers)

    def respond(challenge: bytes) -> bytes:
        assert left, f"one more challenge than answers: {challenge!r}"
        return left.popleft()

    return respond
