"""Driving the connection core as the server does, where the octets come from a list."""

from __future__ import annotations

from collections.abc import Iterable

from crymapd.imap.command.message import message_follows
from crymapd.imap.connection import (
    AFTER_LOGIN,
    Command,
    CommandLimits,
    Connection,
    Event,
    LiteralAnnounced,
    LiteralData,
    PassedOver,
)

LARGEST_TAKEN = 100
"""Octets of a message; a larger one is refused."""


class Cutter:
    """A connection, and the decisions about its literals: messages come after login only."""

    def __init__(self, limits: CommandLimits) -> None:
        self.connection = Connection()
        self.connection.limits = limits
        self._is_logged_in = limits is AFTER_LOGIN
        self._is_appending = False

    def receive(self, data: bytes) -> list[Event]:
        """The events that some octets bring."""
        self.connection.receive_data(data)
        events = []
        while (event := self.connection.next_event()) is not None:
            events.append(event)
            if isinstance(event, LiteralAnnounced):
                self._decide(event)
            elif isinstance(event, Command | PassedOver):
                self._is_appending = False
        return events

    def _decide(self, literal: LiteralAnnounced) -> None:
        if not self._is_appending and not (self._is_logged_in and message_follows(literal.fragments)):
            self.connection.keep_literal()
            return
        self._is_appending = True
        if literal.size > LARGEST_TAKEN:
            self.connection.pass_over()
        else:
            self.connection.stream_literal()


def events(pieces: Iterable[bytes], limits: CommandLimits = AFTER_LOGIN) -> list[Event]:
    """All events; the data of one message is put together. What is held meanwhile must not grow."""
    cutter = Cutter(limits)
    joined: list[Event] = []
    for piece in pieces:
        for event in cutter.receive(piece):
            last = joined[-1] if joined else None
            if isinstance(event, LiteralData) and isinstance(last, LiteralData) and not last.last:
                joined[-1] = LiteralData(last.data + event.data, event.last)
            else:
                joined.append(event)
        assert len(cutter.connection._lines) <= limits.line + len(piece)
    return joined


def one_by_one(data: bytes) -> list[bytes]:
    """Some data, octet by octet."""
    return [data[at : at + 1] for at in range(len(data))]
