"""Which of the literals that a client announces are messages."""

from __future__ import annotations

from typing import NoReturn

import pytest

from crymapd.errors import BadCredentials
from crymapd.imap.appending import Appending
from crymapd.imap.command.message import message_follows
from crymapd.imap.connection import Command, Connection, ContinueNeeded, LiteralAnnounced
from crymapd.imap.session import Session

MESSAGE_FOLLOWS = (
    (b"A1 APPEND INBOX ",),
    (b"a append in (\\Seen) ",),
    (b"A1 APPEND {5}", b"INBOX", b" "),
    (b"A1 REPLACE 4 INBOX ",),
    (b"A1 uid replace 4 INBOX (\\Seen) ",),
    (b"A1 UID REPLACE 4 {5+}", b"INBOX", b" "),
    (b"A1  APPEND INBOX ",),
    (b"A1 APPEND  INBOX  ",),
    (b"A1 UID  REPLACE 4 INBOX ",),
    # These are not of the grammar: they are refused without waiting for the literal.
    (b"A1 REPLACE ",),
    (b"A1 UID APPEND ",),
    (b"A1 APPEND INBOX",),
)
ARGUMENT_FOLLOWS = (
    (b"A1 APPEND ",),
    (b"A1 APPEND  ",),
    (b"A1 REPLACE 4 ",),
    (b"A1 UID REPLACE 4 ",),
    (b"A1 APPEND",),
    (b"A1 SELECT ",),
    (b"APPEND INBOX ",),
    (b"A1 SEARCH APPEND ",),
    (b"A1 LOGIN {5}", b"alice", b" "),
    (b"A1 SEARCH TEXT {1}", b"a", b" TEXT {1}", b"b", b" TEXT "),
    (b"",),
)


@pytest.mark.parametrize("fragments", MESSAGE_FOLLOWS)
def test_a_message_follows(fragments: tuple[bytes, ...]) -> None:
    assert message_follows(list(fragments))


@pytest.mark.parametrize("fragments", ARGUMENT_FOLLOWS)
def test_an_argument_follows(fragments: tuple[bytes, ...]) -> None:
    assert not message_follows(list(fragments))


def stranger(_credentials: object) -> NoReturn:
    raise BadCredentials


def test_before_login_every_literal_is_an_argument() -> None:
    """APPEND is then answered as any command that comes too early, and its literal has the small limits."""
    subject = Connection()
    appending = Appending(Session(lambda _octets: None, stranger), subject)
    subject.receive_data(b"A1 APPEND INBOX {3}\r\nabc\r\n")
    literal = subject.next_event()
    assert isinstance(literal, LiteralAnnounced)
    appending.decide_literal(literal.fragments, literal.size)
    assert not appending.in_progress
    assert subject.next_event() == ContinueNeeded()
    assert subject.next_event() == Command([b"A1 APPEND INBOX {3}", b"abc", b""])
    appending.end()
