"""The loop around the protocol: octets from the channel become events, commands are carried out, answers go back.

The loop also limits how long a client may be silent, how many bad commands it may send, and how often a login may fail.
"""

from __future__ import annotations

import time
from typing import assert_never

from crymapd import log
from crymapd.channel import Channel, Disconnected, TimedOut
from crymapd.imap import connection, dispatch
from crymapd.imap.appending import Appending
from crymapd.imap.background import Background
from crymapd.imap.command import general as command
from crymapd.imap.connection import Connection
from crymapd.imap.handler import general as general_handler
from crymapd.imap.idle import AUTOLOGOUT_SECONDS, idle
from crymapd.imap.response import Broken, Done, Goodbye, ok
from crymapd.imap.session import Session
from crymapd.imap.state import State

BEFORE_LOGIN_SECONDS = 180.0
"""How long a client may take to log in."""
BAD_BEFORE_LOGIN = 3
"""How many bad commands end a connection before login."""
BAD_AFTER_LOGIN = 20
"""How many bad commands in a row end a connection after login."""
MAX_FAILED_LOGINS = 3
COMMANDS_BEFORE_LOGIN = 30
"""How many commands a client may send before it has logged in."""


class Server:
    """Serves one connection, from the greeting on."""

    def __init__(self, channel: Channel, session: Session) -> None:
        self._channel = channel
        self._session = session
        self._connection = Connection()
        self._background = Background(session)
        self._appending = Appending(session, self._connection)
        self._started = time.monotonic()
        self._bad_commands = 0
        self._commands_before_login = 0
        self._is_first_command = True
        self._has_ended = False

    def run(self) -> None:
        """Serve until one side ends the connection; nothing that a client does makes this raise."""
        try:
            while not self._has_ended:
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
            self._appending.end()

    # Events

    def _next_event(self) -> connection.Event:
        """Return the next event; all answers are sent before the server waits for the client."""
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
        """Return for how many seconds the client may be silent now."""
        if self._is_logged_in:
            return AUTOLOGOUT_SECONDS
        seconds = BEFORE_LOGIN_SECONDS - (time.monotonic() - self._started)
        if seconds <= 0:
            raise TimedOut("login took too long")
        return seconds

    @property
    def _is_logged_in(self) -> bool:
        return self._session.state is not State.NOT_AUTHENTICATED

    def _handle(self, event: connection.Event) -> None:
        match event:
            case connection.Command(fragments):
                if self._appending.in_progress:
                    self._answer(*self._appending.finish(fragments))
                else:
                    self._command(fragments)
            case connection.ContinueNeeded():
                self._channel.write(b"+ go on\r\n")
            case connection.LiteralAnnounced(fragments, size):
                self._appending.decide_literal(fragments, size)
            case connection.LiteralData(data, last):
                self._appending.take_data(data, last=last)
            case connection.PassedOver(tag, done):
                self._answer_refused(tag, done or self._appending.refusal)
            case connection.Continuation():
                raise Goodbye("the server did not ask for a line")
            case _:
                assert_never(event)

    def _answer_refused(self, tag: bytes | None, done: Done | None) -> None:
        assert done is not None, "whoever refuses a command has an answer"
        self._appending.end()
        self._answer(tag or b"*", done)
        if not self._is_logged_in and (tag is None or connection.is_foreign(tag)):
            raise Goodbye("not an IMAP client", "PARSE")

    def _answer(self, tag: bytes, done: Done) -> None:
        self._channel.write(done.line(tag))
        if not self._is_logged_in:
            self._count_command_before_login()
        if self._session.ending is not None:
            raise self._session.ending
        if done.status == "BAD":
            self._count_bad_command()
        elif self._is_logged_in:
            self._bad_commands = 0  # a client that also sends good commands does not send garbage

    def _count_command_before_login(self) -> None:
        self._commands_before_login += 1
        if self._commands_before_login >= COMMANDS_BEFORE_LOGIN:
            raise Goodbye("too many commands before login")

    def _count_bad_command(self) -> None:
        self._bad_commands += 1
        if self._bad_commands >= (BAD_AFTER_LOGIN if self._is_logged_in else BAD_BEFORE_LOGIN):
            raise Goodbye("too many bad commands")

    # Commands

    def _command(self, fragments: list[bytes]) -> None:
        is_first, self._is_first_command = self._is_first_command, False
        try:
            session = self._session
            parsed = dispatch.parse(fragments, session.state, utf8=session.unicode, utf8_only=session.utf8)
        except dispatch.Malformed as malformed:
            if is_first and connection.is_foreign(fragments[0]):
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
        if self._is_logged_in:
            self._connection.limits = connection.AFTER_LOGIN
        self._answer(parsed.tag, done)
        self._has_ended = isinstance(parsed.command, command.Logout)
        if self._session.failures >= MAX_FAILED_LOGINS:
            raise Goodbye("too many failed logins", "AUTHENTICATIONFAILED")

    def _authenticate(self, asked: command.Authenticate) -> Done:
        """Run the SASL exchange of AUTHENTICATE (RFC 9051 section 6.2.2)."""
        return dispatch.attempt(self._session, lambda: general_handler.authenticate(self._session, asked, self._ask))

    def _ask(self, line: bytes) -> bytes:
        """Send a continuation request and wait for the line that answers it."""
        self._channel.write(line + b"\r\n")
        self._connection.expect_continuation()
        event = self._next_event()
        if not isinstance(event, connection.Continuation):
            raise Goodbye("the line is too long", "TOOBIG")
        return event.line

    def _compress(self, tag: bytes) -> None:
        """COMPRESS (RFC 4978), after whose answer both sides deflate; until then the client must send nothing more."""
        if self._session.compressed:
            self._answer(tag, Done("NO", "DEFLATE is already active", "COMPRESSIONACTIVE"))
        elif not self._connection.is_empty:
            self._answer(tag, Done("BAD", "wait for the answer to COMPRESS before sending more", "CLIENTBUG"))
        else:
            self._answer(tag, ok("DEFLATE begins after this line"))
            self._channel.start_deflate()
            self._session.compressed = True

    def _idle(self, tag: bytes) -> None:
        """IDLE, which ends with DONE. A command that comes instead is carried out too, as its client waits for it."""
        line = idle(self._channel, self._connection, self._session, self._background)
        if line.strip().upper() == b"DONE":
            self._answer(tag, ok())
            return
        self._answer(tag, Done("BAD", "IDLE expects DONE", "CLIENTBUG"))
        if connection.tag_of(line) is not None:
            self._command([line])
