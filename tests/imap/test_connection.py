"""The connection core: however the octets are cut, the events are the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crymapd.imap import connection
from crymapd.imap.connection import (
    AFTER_LOGIN,
    BEFORE_LOGIN,
    Command,
    CommandLimits,
    Connection,
    Continuation,
    ContinueNeeded,
    Event,
    LiteralAnnounced,
    LiteralData,
    PassedOver,
)
from crymapd.imap.response import Done
from tests.testlib.cutting import events, one_by_one

SMALL = CommandLimits(line=300, literal=20, literals=40, count=4)
TOO_LONG = Done("BAD", "a command line has at most 300 octets", "TOOBIG")
TOO_BIG = Done("BAD", "literals have at most 20 octets each, 40 together", "TOOBIG")


def announced(size: int, *fragments: bytes) -> LiteralAnnounced:
    return LiteralAnnounced(list(fragments), size)


CASES: dict[str, tuple[bytes, CommandLimits, list[Event]]] = {
    "a line": (b"A1 NOOP\r\n", SMALL, [Command([b"A1 NOOP"])]),
    "a bare LF": (b"A1 NOOP\n", SMALL, [Command([b"A1 NOOP"])]),
    "empty lines": (b"\r\n\n  \r\nA1 NOOP\r\n\r\n", SMALL, [Command([b"A1 NOOP"])]),
    "two lines": (b"A1 NOOP\r\nA2 NOOP\r\n", SMALL, [Command([b"A1 NOOP"]), Command([b"A2 NOOP"])]),
    "a literal": (
        b"A1 LOGIN {3}\r\nbob {2+}\r\n\r\n\r\n",
        SMALL,
        [
            announced(3, b"A1 LOGIN "),
            ContinueNeeded(),
            announced(2, b"A1 LOGIN {3}", b"bob", b" "),
            Command([b"A1 LOGIN {3}", b"bob", b" {2+}", b"\r\n", b""]),
        ],
    ),
    "an empty literal": (
        b"A1 LOGIN {0+}\r\n x\r\n",
        SMALL,
        [announced(0, b"A1 LOGIN "), Command([b"A1 LOGIN {0+}", b"", b" x"])],
    ),
    "a literal that looks like commands": (
        b"A1 SELECT {13+}\r\nA2 LOGOUT\r\n{9\r\nA3 NOOP\r\n",
        SMALL,
        [announced(13, b"A1 SELECT "), Command([b"A1 SELECT {13+}", b"A2 LOGOUT\r\n{9", b""]), Command([b"A3 NOOP"])],
    ),
    "a line that is too long": (
        b"A1 " + b"x" * 298 + b"\r\nA2 NOOP\r\n",
        SMALL,
        [PassedOver(b"A1", TOO_LONG), Command([b"A2 NOOP"])],
    ),
    "a line just not too long": (b"A1 " + b"x" * 296 + b"\r\n", SMALL, [Command([b"A1 " + b"x" * 296])]),
    "a long line with a literal": (
        b"A1 " + b"x" * 900 + b" {4+}\r\nA2\r\n more\r\nA3 NOOP\r\n",
        SMALL,
        [PassedOver(b"A1", TOO_LONG), Command([b"A3 NOOP"])],
    ),
    "a literal that is too big": (
        b"A1 LOGIN {21+}\r\n" + b"\n" * 21 + b" {3+}\r\n\r\n\r rest\r\nA2 NOOP\r\n",
        SMALL,
        [announced(21, b"A1 LOGIN "), PassedOver(b"A1", TOO_BIG), Command([b"A2 NOOP"])],
    ),
    "a synchronising literal that is too big": (
        b"A1 LOGIN {21}\r\nA2 NOOP\r\n",
        SMALL,
        [announced(21, b"A1 LOGIN "), PassedOver(b"A1", TOO_BIG), Command([b"A2 NOOP"])],
    ),
    "an absurd literal": (
        b"A1 LOGIN {99999999999999999999}\r\nA2 NOOP\r\n",
        SMALL,
        [announced(99999999999999999999, b"A1 LOGIN "), PassedOver(b"A1", TOO_BIG), Command([b"A2 NOOP"])],
    ),
    "too much in literals": (
        b"A1 X" + b" {20+}\r\n" + b"a" * 20 + b" {20+}\r\n" + b"b" * 20 + b" {1+}\r\nc\r\nA2 NOOP\r\n",
        SMALL,
        [
            announced(20, b"A1 X "),
            announced(20, b"A1 X {20+}", b"a" * 20, b" "),
            announced(1, b"A1 X {20+}", b"a" * 20, b" {20+}", b"b" * 20, b" "),
            PassedOver(b"A1", TOO_BIG),
            Command([b"A2 NOOP"]),
        ],
    ),
    "too many literals": (
        b"A1 X {1+}\r\n" + b"a {1+}\r\n" * 4 + b"b\r\nA2 NOOP\r\n",
        SMALL,
        [
            announced(1, b"A1 X "),
            *(announced(1, b"A1 X {1+}", *(b"a", b" {1+}") * before, b"a", b" ") for before in range(4)),
            PassedOver(b"A1", TOO_BIG),
            Command([b"A2 NOOP"]),
        ],
    ),
    "no tag": (b"(" * 400 + b"\r\nA2 NOOP\r\n", SMALL, [PassedOver(None, TOO_LONG), Command([b"A2 NOOP"])]),
    "a message": (
        b"A1 APPEND INBOX (\\Seen) {5}\r\nhello\r\nA2 NOOP\r\n",
        AFTER_LOGIN,
        [
            announced(5, b"A1 APPEND INBOX (\\Seen) "),
            ContinueNeeded(),
            LiteralData(b"hello", True),
            Command([b""]),
            Command([b"A2 NOOP"]),
        ],
    ),
    "two messages, the mailbox a literal": (
        b"A1 append {5+}\r\nINBOX {3+}\r\none ~{4+}\r\ntwo\n\r\n",
        AFTER_LOGIN,
        [
            announced(5, b"A1 append "),
            announced(3, b"A1 append {5+}", b"INBOX", b" "),
            LiteralData(b"one", True),
            announced(4, b" "),
            LiteralData(b"two\n", True),
            Command([b""]),
        ],
    ),
    "a refused message": (
        b"A1 APPEND INBOX {101+}\r\n" + b"\n" * 101 + b" {3+}\r\nabc\r\nA2 NOOP\r\n",
        AFTER_LOGIN,
        [announced(101, b"A1 APPEND INBOX "), PassedOver(b"A1", None), Command([b"A2 NOOP"])],
    ),
    "a refused message that waits": (
        b"A1 APPEND INBOX {101}\r\nA2 NOOP\r\n",
        AFTER_LOGIN,
        [announced(101, b"A1 APPEND INBOX "), PassedOver(b"A1", None), Command([b"A2 NOOP"])],
    ),
    "APPEND before login is a command like any other": (
        b"A1 APPEND INBOX {3+}\r\nabc\r\n",
        BEFORE_LOGIN,
        [announced(3, b"A1 APPEND INBOX "), Command([b"A1 APPEND INBOX {3+}", b"abc", b""])],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_whole(name: str) -> None:
    data, limits, expected = CASES[name]
    assert events([data], limits) == expected


@pytest.mark.parametrize("name", CASES)
def test_octet_by_octet(name: str) -> None:
    data, limits, expected = CASES[name]
    assert events(one_by_one(data), limits) == expected


@pytest.mark.parametrize("name", CASES)
def test_with_trailing_data(name: str) -> None:
    data, limits, expected = CASES[name]
    assert events([data + b"Z1 LOGOUT\r\nZ2 NO"], limits) == [*expected, Command([b"Z1 LOGOUT"])]


_WORDS = st.sampled_from(
    (b"A1", b" ", b"APPEND", b" INBOX", b"{3}", b"{3+}", b"{25+}", b"{0+}", b"~{4+}", b"\r\n", b"\n", b"\r", b"x" * 150)
)


@given(st.lists(_WORDS | st.binary(max_size=5), max_size=40).map(b"".join), st.data())
def test_the_cuts_do_not_matter(data: bytes, choose: st.DataObject) -> None:
    cuts = sorted(choose.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    for limits in (SMALL, AFTER_LOGIN):
        assert events(pieces, limits) == events([data], limits) == events(one_by_one(data), limits)


def test_a_line_that_was_asked_for_is_no_command() -> None:
    subject = Connection()
    subject.expect_continuation()
    subject.receive_data(b"DONE\r\nA2 NOOP\r\n")
    assert subject.next_event() == Continuation(b"DONE")
    assert subject.next_event() == Command([b"A2 NOOP"])
    assert subject.next_event() is None and subject.is_empty


def test_a_line_that_was_asked_for_and_is_too_long_is_forgotten() -> None:
    subject = Connection()
    subject.expect_continuation()
    subject.receive_data(b"x" * (BEFORE_LOGIN.line + 1000) + b"\r\nA2 NOOP\r\n")
    assert isinstance(subject.next_event(), PassedOver)
    assert subject.next_event() == Command([b"A2 NOOP"])


def streaming(data: bytes) -> Connection:
    """A connection that has taken the announcement of a message."""
    subject = Connection()
    subject.limits = AFTER_LOGIN
    subject.receive_data(data)
    assert isinstance(subject.next_event(), LiteralAnnounced)
    subject.stream_literal()
    return subject


def test_the_rest_of_a_message_is_passed_over() -> None:
    subject = streaming(b"A1 APPEND INBOX {10+}\r\n01234")
    assert subject.next_event() == LiteralData(b"01234", False)
    subject.pass_over()
    subject.receive_data(b"56789 {3+}\r\nabc\r\nA2 NOOP\r\n")
    assert subject.next_event() == PassedOver(b"A1", None)
    assert subject.next_event() == Command([b"A2 NOOP"])


def test_the_rest_of_a_command_after_its_message_is_passed_over() -> None:
    subject = streaming(b"A1 APPEND INBOX {2+}\r\nab")
    assert subject.next_event() == LiteralData(b"ab", True)
    subject.pass_over()
    subject.receive_data(b" {4}\r\n")
    assert subject.next_event() == PassedOver(b"A1", None), "a client that waits for + will not send more"


def test_an_empty_literal_is_streamed() -> None:
    subject = streaming(b"A1 X {0}\r\n\r\n")
    assert subject.next_event() == ContinueNeeded()
    assert subject.next_event() == LiteralData(b"", True)
    assert subject.next_event() == Command([b""])


def test_a_streamed_literal_leaves_room_for_the_lines_after_it() -> None:
    subject = streaming(b"A1 APPEND " + b"x" * 60_000 + b" {2+}\r\nab")
    subject.receive_data(b" " + b"y" * 60_000 + b"\r\n")
    assert subject.next_event() == LiteralData(b"ab", True)
    assert subject.next_event() == Command([b" " + b"y" * 60_000])


def test_a_tag_does_not_outlive_its_command() -> None:
    long = b"(" * 9000 + b"\r\n"
    assert events([b"A1 NOOP\r\n" + long], BEFORE_LOGIN)[1:] == events([long], BEFORE_LOGIN)


@pytest.mark.parametrize("decide", [Connection.keep_literal, Connection.stream_literal])
def test_misuse_is_told(decide: Callable[[Connection], None]) -> None:
    subject = Connection()
    with pytest.raises(RuntimeError):
        decide(subject)
    subject.receive_data(b"A1 APPEND INBOX {10+}\r\n")
    assert isinstance(subject.next_event(), LiteralAnnounced)
    with pytest.raises(RuntimeError):
        subject.next_event()
    decide(subject)
    with pytest.raises(RuntimeError):
        decide(subject)


def test_only_a_command_that_has_begun_is_passed_over() -> None:
    with pytest.raises(RuntimeError):
        Connection().pass_over()


def test_an_endless_line_takes_no_memory() -> None:
    subject = Connection()
    for _ in range(1000):
        subject.receive_data(b"x" * 10_000)
        assert subject.next_event() is None
    assert len(subject._lines) <= connection.BEFORE_LOGIN.line
