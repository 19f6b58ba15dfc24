"""The loop around the protocol: octets from the channel to events, answers back, time watched."""

from __future__ import annotations

import time

from crymapd import log
from crymapd.channel import Channel, Disconnected, TimedOut
from crymapd.imap import connection, dispatch
from crymapd.imap.background import Background
from crymapd.imap.command import session as command
from crymapd.imap.connection import Connection
from crymapd.imap.handler import session as session_handler
from crymapd.imap.handler.append import Append
from crymapd.imap.idle import AUTOLOGOUT_SECONDS, idle
from crymapd.imap.response import Broken, Done, Goodbye, ok
from crymapd.imap.session import Session
from crymapd.imap.state import State
from crymapd.imap.wire.reader import BadSyntax

BEFORE_LOGIN_SECONDS = 180.0
BAD_BEFORE_LOGIN = 3
BAD_AFTER_LOGIN = 20
MAX_FAILED_LOGINS = 3


class Server:
    """One connection, from greeting to the end."""

    def __init__(self, channel: Channel, session: Session) -> None:
        self._channel = channel
        self._session = session
        self._connection = Connection()
        self._started = time.monotonic()
        self._bad = 0
        self._first = True  # no command has come yet
        self._ended = False
        self._append: Append | None = None
        self._background = Background(session)

    def run(self) -> None:
        """Serve until one side ends it. Raises nothing that a client can cause."""
        try:
            while not self._ended:
                self._handle(self._next_event())
        except Goodbye as goodbye:
            self._channel.write(goodbye.line)
        except TimedOut:
            self._channel.write(b"* BYE idle for too long\r\n")
        except Disconnected:
            pass
        except Broken as broken:
            log.broken_off(str(broken))
        finally:
            self._end_append()

    # Events

    def _next_event(self) -> connection.Event:
        """The next event; what was answered so far is sent before waiting for the client."""
        while True:
            event = self._connection.next_event()
            if event is not None:
                return event
            self._channel.flush()
            self._background.fill_wait(self._channel)
            data = self._channel.read(self._patience())
            if not data:
                raise Disconnected("the client closed the connection")
            self._connection.receive_data(data)

    def _patience(self) -> float:
        if self._logged_in:
            return AUTOLOGOUT_SECONDS
        left = BEFORE_LOGIN_SECONDS - (time.monotonic() - self._started)
        if left <= 0:
            raise TimedOut("login took too long")
        return left

    @property
    def _logged_in(self) -> bool:
        return self._session.state is not State.NOT_AUTHENTICATED

    def _handle(self, event: connection.Event) -> None:
        match event:
            case connection.Command(fragments):
                self._command(fragments)
            case connection.ContinueNeeded():
                self._send(b"+ go on\r\n")
            case connection.MessageLiteral(fragments, size, first):
                self._message_announced(fragments, size, first=first)
            case connection.MessageData(data, last):
                self._message_data(data, last=last)
            case connection.Refused(tag, reason):
                self._refused(tag, reason)
            case connection.Continuation():
                raise Goodbye("an unexpected line")

    def _send(self, data: bytes) -> None:
        self._channel.write(data)

    def _answer(self, tag: bytes, done: Done) -> None:
        self._send(done.line(tag))
        if done.status == "BAD":
            self._count_bad()
        elif self._logged_in:
            self._bad = 0  # a client that is understood now and then is none that sends garbage

    def _count_bad(self) -> None:
        self._bad += 1
        if self._bad >= (BAD_AFTER_LOGIN if self._logged_in else BAD_BEFORE_LOGIN):
            raise Goodbye("too many bad commands")

    def _refused(self, tag: bytes | None, reason: str) -> None:
        done = self._refusal or Done("BAD", reason, "TOOBIG")
        self._refusal = None
        self._end_append()
        self._answer(tag or b"*", done)
        if not self._logged_in and (tag is None or connection.is_foreign(tag)):
            raise Goodbye("not an IMAP client", "PARSE")

    _refusal: Done | None = None

    # Commands

    def _command(self, fragments: list[bytes]) -> None:
        if self._append is not None:
            self._finish_append(self._append, fragments)
            return
        first, self._first = self._first, False
        try:
            session = self._session
            parsed = dispatch.parse(fragments, session.state, utf8=session.unicode, utf8_only=session.utf8)
        except dispatch.Malformed as malformed:
            if first and connection.is_foreign(fragments[0]):
                raise Goodbye("not an IMAP client", "PARSE") from None
            if malformed.unsaved:
                session.saved = []
            self._answer(malformed.tag, malformed.done)
            return
        match parsed.command:
            case command.Authenticate():
                done = self._authenticate(parsed.command)
            case command.Idle():
                self._idle(parsed.tag)
                return
            case command.Compress():
                self._compress(parsed.tag)
                return
            case _:
                done = dispatch.perform(self._session, parsed)
        if self._logged_in:
            self._connection.limits = connection.AFTER_LOGIN
        self._answer(parsed.tag, done)
        self._ended = isinstance(parsed.command, command.Logout)
        if self._session.failures >= MAX_FAILED_LOGINS:
            raise Goodbye("too many failed logins", "AUTHENTICATIONFAILED")

    def _ask(self, line: bytes) -> bytes:
        """Send a continuation request and wait for the line that answers it."""
        self._send(line + b"\r\n")
        self._connection.expect_continuation()
        event = self._next_event()
        if not isinstance(event, connection.Continuation):
            raise Goodbye("the line is too long", "TOOBIG")
        return event.line

    def _authenticate(self, asked: command.Authenticate) -> Done:
        """Lead the exchange and answer it."""
        return dispatch.attempt(self._session, lambda: session_handler.authenticate(self._session, asked, self._ask))

    # COMPRESS (RFC 4978)

    def _compress(self, tag: bytes) -> None:
        """The answer is the last that goes out as it is; what comes after the command is deflated."""
        if self._session.compressed:
            self._answer(tag, Done("NO", "DEFLATE is active already", "COMPRESSIONACTIVE"))
        elif not self._connection.is_empty:
            self._answer(tag, Done("BAD", "wait for the answer to COMPRESS before sending more", "CLIENTBUG"))
        else:
            self._answer(tag, ok("from here on DEFLATE"))
            self._channel.start_deflate()
            self._session.compressed = True

    # IDLE (RFC 2177)

    def _idle(self, tag: bytes) -> None:
        """Ends with DONE; a command in its place ends it too, and is done: its sender waits for the answer."""
        line = idle(self._channel, self._connection, self._session, self._background)
        if line.strip().upper() == b"DONE":
            self._answer(tag, ok())
            return
        self._answer(tag, Done("BAD", "expected DONE", "CLIENTBUG"))
        if connection.tag_of(line) is not None:
            self._command([line])

    # APPEND

    def _message_announced(self, fragments: list[bytes], size: int, *, first: bool) -> None:
        if first:
            self._append = Append(self._session)
        done = dispatch.attempt(self._session, lambda: self._begin_message(fragments, size, first=first))
        if done.status != "OK":
            self._refuse(done)
        elif self._connection.accept_literal():
            self._send(b"+ go on\r\n")

    def _begin_message(self, fragments: list[bytes], size: int, *, first: bool) -> Done:
        if self._append is None:
            raise BadSyntax("a message without APPEND")
        self._append.begin(fragments, size, first=first)
        return ok()

    def _refuse(self, done: Done) -> None:
        self._refusal = done
        refused = self._connection.refuse_literal(done.text)
        if refused is not None:
            self._refused(refused.tag, refused.reason)

    def _message_data(self, data: bytes, *, last: bool) -> None:
        done = dispatch.attempt(self._session, lambda: self._take_data(data, last=last))
        if done.status != "OK":
            self._refusal = done
            self._connection.abandon_command(done.text)

    def _take_data(self, data: bytes, *, last: bool) -> Done:
        if self._append is None:
            raise BadSyntax("no message was announced")
        self._append.data(data, last=last)
        return ok()

    def _finish_append(self, append: Append, fragments: list[bytes]) -> None:
        done = dispatch.attempt(self._session, lambda: append.commit(fragments))
        self._end_append()
        dispatch.attempt(self._session, lambda: dispatch.told_all(self._session, expunges=True))
        self._answer(append.tag, dispatch.with_highest_modseq(self._session, done))

    def _end_append(self) -> None:
        if self._append is not None:
            self._append.close()
            self._append = None
