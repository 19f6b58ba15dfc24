"""Reading: garbage is BadSyntax and nothing else, and no command takes long to be refused."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crymapd.imap import dispatch
from crymapd.imap.command import message
from crymapd.imap.connection import AFTER_LOGIN
from crymapd.imap.state import COMMANDS, State
from crymapd.imap.wire import mutf7, writer
from crymapd.imap.wire.reader import MAX_RANGES, BadSyntax, Reader
from crymapd.model.names import mailbox_pattern
from crymapd.model.sequence import SequenceSet

SECONDS = 2.0
STATES = (State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED)
PRODUCTIONS: dict[str, Callable[[Reader], object]] = {
    "tag": Reader.tag,
    "atom": Reader.atom,
    "keyword": Reader.word,
    "fetch_name": Reader.fetch_name,
    "use_attribute": Reader.use_attribute,
    "try_string": Reader.try_string,
    "string": Reader.string,
    "astring": Reader.astring,
    "nstring": Reader.nstring,
    "mailbox": Reader.mailbox,
    "list_pattern": Reader.list_pattern,
    "number": Reader.number,
    "modseq": Reader.modseq,
    "sequence_set": Reader.sequence_set,
    "flag": Reader.flag,
    "flag_list": Reader.flag_list,
    "bare_flags": Reader.bare_flags,
    "date": Reader.date,
    "date_time": Reader.date_time,
    "append_target": message.append_target,
    "append_head": message.append_head,
    "end": Reader.end,
}

_PIECES = st.sampled_from(
    (
        "(", ")", "[", "]", "<", ">", "{", "}", '"', "\\", " ", "*", "%", "$", "&", "+", "-", ".", ",", ":", "=", "~",
        "1", "0", "4294967295", "99999999999999999999", "1:*", "NIL", "INBOX", "FLAGS", "BODY", "BODY[", "HEADER",
        "HEADER.FIELDS", "TEXT", "MIME", "CHANGEDSINCE", "UNCHANGEDSINCE", "MODSEQ", "OR", "NOT", "CHARSET", "SINCE",
        "1-Feb-2026", "31-Feb-2026", "KEYWORD", "\\Seen", "\\Bogus", "UID", "&2D0-", "&AGE-", "{3}", "{3+}",
        '" 1-Jan-0001 00:00:00 +2359"', '"00-Foo-0000 99:99:99 -9999"',
    )
)  # fmt: skip
_LINES = st.lists(_PIECES | st.text(max_size=3), max_size=12).map("".join).map(str.encode) | st.binary(max_size=30)


@st.composite
def fragments(draw: st.DrawFn) -> list[bytes]:
    """As the connection cuts them: line, literal, line, ..., and each line but the last announces a literal."""
    cut = [draw(_LINES)]
    for literal in draw(st.lists(st.binary(max_size=10) | _LINES, max_size=3)):
        cut[-1] += b"{%d+}" % len(literal)
        cut += [literal, draw(_LINES)]
    return cut


@given(fragments(), st.sampled_from(sorted(COMMANDS)), st.sampled_from(STATES))
@example([b" 1 (BODY[1." + b"1." * 200 + b"1])"], b"FETCH", State.SELECTED)
@example([b' "" ' + "\ud7ff".encode()], b"LIST", State.AUTHENTICATED)
def test_a_command_is_understood_or_malformed(cut: list[bytes], name: bytes, state: State) -> None:
    for start in (b"A1 " + name, b"A1 " + name + b" "):
        try:
            parsed = dispatch.parse([start + cut[0], *cut[1:]], state)
        except dispatch.Malformed as malformed:
            assert malformed.done.status in ("BAD", "NO")
        else:
            assert parsed.tag == b"A1" and parsed.row.states & state


@given(fragments())
def test_garbage_is_malformed_or_a_command(cut: list[bytes]) -> None:
    for state in STATES:
        try:
            dispatch.parse(cut, state)
        except dispatch.Malformed as malformed:
            malformed.done.line(malformed.tag)


@pytest.mark.parametrize("name", PRODUCTIONS)
@given(cut=fragments())
def test_a_production_reads_or_is_bad_syntax(name: str, cut: list[bytes]) -> None:
    reader = Reader(cut)
    try:
        PRODUCTIONS[name](reader)
    except BadSyntax as error:
        assert str(error)


# Written and read again


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_names_come_back(name: str) -> None:
    assert mutf7.decode(mutf7.encode(name)) == name
    written = writer.mailbox(name)
    assert b"\r" not in written and max(written) < 0x80
    reader = Reader([b" " + written])
    reader.space()
    assert reader.mailbox() == name
    reader.end()


@given(st.binary())
def test_strings_come_back(value: bytes) -> None:
    written = writer.astring(value)
    head, end, rest = written.partition(b"\r\n") if written.startswith(b"{") else (written, b"", b"")
    reader = Reader([head, rest, b""] if end else [head])
    assert reader.astring() == value.replace(b"\0", b"\x80")  # no literal can hold NUL
    reader.end()


def test_a_date_with_strange_octets_does_not_lose_the_mail() -> None:
    """Also after ENABLE UTF8=ACCEPT, when quoted strings are to be UTF-8."""
    reader = Reader([b'"03-Feb-2025 18:28:47 \xe9"'], utf8=True)
    date = reader.date_time()
    assert date is not None and date.isoformat() == "2025-02-03T18:28:47+00:00"
    reader.end()


KNOWN_NAMES = {
    "~peter/mail/台北/日本語": b"~peter/mail/&U,BTFw-/&ZeVnLIqe-",  # RFC 3501 section 5.1.3
    "&": b"&-",
    "🐎": b"&2D3cDg-",
    "Entwürfe": b"Entw&APw-rfe",
}


@pytest.mark.parametrize("name", KNOWN_NAMES)
def test_known_names(name: str) -> None:
    assert mutf7.encode(name) == KNOWN_NAMES[name]
    assert mutf7.decode(KNOWN_NAMES[name]) == name


def test_known_sets() -> None:
    """RFC 3501 section 9: sequence-set examples, resolved for 15 messages."""
    found = Reader([b"2,4:7,9,12:*"]).sequence_set()
    assert found == SequenceSet(((2, 2), (4, 7), (9, 9), (12, 0)))
    assert found.resolve(15) == [(2, 2), (4, 7), (9, 9), (12, 15)]
    assert Reader([b"*:4,5:7"]).sequence_set().resolve(10) == [(4, 10)]


# Bounded time: the largest lines that the connection lets through

HUGE = AFTER_LOGIN.line - 100
LONG_COMMANDS = {
    "parentheses": b"A1 SEARCH " + b"(" * HUGE,
    "balanced parentheses": b"A1 SEARCH " + b"(" * (HUGE // 2) + b"ALL" + b")" * (HUGE // 2),
    "NOT": b"A1 SEARCH " + b"NOT " * (HUGE // 4) + b"ALL",
    "OR": b"A1 SEARCH " + b"OR " * (HUGE // 3) + b"ALL ALL",
    "keys": b"A1 SEARCH " + b"ALL " * (HUGE // 4) + b"ALL",
    "ranges": b"A1 UID FETCH " + b",".join(b"%d" % (number % 10) for number in range(HUGE // 2)) + b" FLAGS",
    "commas": b"A1 UID FETCH " + b"," * HUGE + b" FLAGS",
    "colons": b"A1 UID FETCH " + b"1:" * (HUGE // 2) + b" FLAGS",
    "digits": b"A1 FETCH " + b"9" * HUGE + b" FLAGS",
    "items": b"A1 FETCH 1 (" + b"UID " * (HUGE // 4) + b"UID)",
    "fields": b"A1 FETCH 1 BODY[HEADER.FIELDS (" + b"X " * (HUGE // 2) + b"X)]",
    "part numbers": b"A1 FETCH 1 BODY[" + b"1." * (HUGE // 2) + b"1]",
    "flags": b"A1 STORE 1 FLAGS (" + b"x " * (HUGE // 2) + b"x)",
    "quotes": b'A1 SELECT "' + b'\\"' * (HUGE // 2),
    "backslashes": b'A1 SELECT "' + b"\\" * HUGE,
    "spaces": b"A1 NOOP" + b" " * HUGE + b"x",
    "stars": b'A1 LIST "" ' + b"*" * HUGE,
    "shifts": b'A1 LIST "" "' + b"&" * HUGE + b'"',
    "base64": b'A1 LIST "" "' + b"&AGE-" * (HUGE // 5) + b'"',
    "status items": b"A1 STATUS INBOX (" + b"MESSAGES " * (HUGE // 9) + b"MESSAGES)",
    "uses": b"A1 CREATE x (USE (" + b"\\Sent " * (HUGE // 6) + b"\\Sent))",
    "a tag": b"A" * HUGE,
}


@pytest.mark.parametrize("name", LONG_COMMANDS)
def test_long_commands_take_no_time(name: str) -> None:
    line = LONG_COMMANDS[name]
    assert len(line) <= AFTER_LOGIN.line
    started = time.process_time()
    try:
        dispatch.parse([line], State.SELECTED)
    except dispatch.Malformed as malformed:
        assert malformed.done.status in ("BAD", "NO")
    assert time.process_time() - started < SECONDS


def test_sequence_sets_have_an_end() -> None:
    assert len(Reader([b"1," * (MAX_RANGES - 1) + b"1"]).sequence_set().ranges) == MAX_RANGES
    with pytest.raises(BadSyntax):
        Reader([b"1," * MAX_RANGES + b"1"]).sequence_set()


def test_patterns_take_no_time() -> None:
    """A name of many `a` against many `*a`: what a regular expression would never end with."""
    started = time.process_time()
    assert not mailbox_pattern("", "*a" * 400 + "*b").matches("a" * 1000)
    assert not mailbox_pattern("", "%a" * 400 + "%b").matches("a/" * 500)
    assert mailbox_pattern("", "*%" * 30_000).matches("a" * 1000)
    assert time.process_time() - started < SECONDS


PATTERNS = (
    ("", "*", "a/b", True),
    ("", "%", "a/b", False),
    ("", "%", "a", True),
    ("", "a/%", "a/b", True),
    ("", "a/%", "a/b/c", False),
    ("", "a*", "a/b/c", True),
    ("", "inbox", "INBOX", True),
    ("", "InBox/%", "INBOX/x", True),
    ("", "archive", "Archive", False),
    ("a/", "%", "a/b", True),
    ("", "*%", "a/b", True),
    ("", "%/%", "a/b", True),
    ("", "%b", "a/b", False),
    ("", "a.c", "abc", False),
)


@pytest.mark.parametrize(("reference", "pattern", "name", "expected"), PATTERNS)
def test_patterns(reference: str, pattern: str, name: str, expected: bool) -> None:
    assert mailbox_pattern(reference, pattern).matches(name) is expected
