"""What must hold for any octets whatever: each target takes some and fails where it does not.

The oracle of what the server says is our strict client grammar; that of the parsers is their other way
of reading the same octets.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from crymapd.crypto import slots
from crymapd.imap import connection, dispatch
from crymapd.imap.command import message as message_command
from crymapd.imap.connection import CommandLimits
from crymapd.imap.prepared import prepare
from crymapd.imap.response import Goodbye
from crymapd.imap.session import Session
from crymapd.imap.state import State
from crymapd.imap.wire import section
from crymapd.imap.wire.reader import BadSyntax, Reader
from crymapd.mime import addresses, content, dates, encoded_words, header, parts, references, subject, text
from crymapd.store import account
from crymapd.store.summary import Summarizer, Summary, summarize
from tests.testlib.answers import Tagged
from tests.testlib.cutting import events, one_by_one
from tests.testlib.framing import ImapFraming, frames
from tests.testlib.grammar import Options, parse
from tests.testlib.hostile import hostile
from tests.testlib.stores import CHEAP, PASSWORD, append, opened

SMALL = CommandLimits(line=300, literal=20, literals=40, count=4)


# Cutting


def fragments(data: bytes) -> None:
    """The same events however the octets come, and a buffer that does not grow."""
    if not data:
        return
    limits = (SMALL, connection.BEFORE_LOGIN, connection.AFTER_LOGIN)[data[0] % 3]
    whole = events([data], limits)
    assert events(one_by_one(data), limits) == whole
    cut = 1 + data[0]
    assert events([data[:cut], data[cut:]], limits) == whole


# Reading commands


def commands(data: bytes) -> None:
    """Every command is understood, or answered with a grammatical BAD or NO."""
    for event in events([data], connection.AFTER_LOGIN):
        match event:
            case connection.Command(pieces):
                for state in State:
                    for utf8 in (False, True):
                        _read_command(pieces, state, utf8=utf8)
            case connection.LiteralAnnounced(pieces, _size):
                with suppress(BadSyntax):
                    reader = Reader(pieces)
                    if message_command.message_follows(pieces):
                        message_command.append_target(reader)
                    message_command.append_head(reader)
            case connection.PassedOver(tag, done):
                assert tag is None or b" " not in tag
                if done is not None:
                    parse(done.line(tag or b"*"), Options())
            case _:
                pass


def _read_command(pieces: list[bytes], state: State, *, utf8: bool) -> None:
    try:
        dispatch.parse(pieces, state, utf8=utf8, utf8_only=utf8)
    except dispatch.Malformed as malformed:
        answer = parse(malformed.done.line(malformed.tag), Options(utf8=utf8))
        assert malformed.tag == b"*" or isinstance(answer, Tagged)


# Mail


def message(data: bytes) -> None:
    """Any octets have a grammatical ENVELOPE, BODY and BODYSTRUCTURE, the same however they come."""
    summary = summarize(data, prepare)
    grammatical(summary)
    summarizer = Summarizer()
    for at in range(0, len(data), 61):
        summarizer.feed(data[at : at + 61])
    assert summarizer.finish_reading(prepare, lambda start, end: iter((data[start:end],))) == summary
    root = parts.parse(data)
    for path in ((), (1,), (2,), (1, 1), (1, 2, 3)):
        for what in (section.WHOLE, section.HEADER, section.TEXT, section.MIME):
            located = section.locate(root, section.Section(path, what))
            assert located is None or 0 <= located.start <= located.end <= len(data)
    fields(root.header)
    for encoding in (b"base64", b"quoted-printable"):
        decoded = content.decode_stream((data[at : at + 19] for at in range(0, len(data), 19)), encoding)
        assert decoded is not None
        whole = content.decode_stream([data], encoding)
        assert whole is not None and b"".join(decoded) == b"".join(whole)


def grammatical(summary: Summary) -> None:
    """What a client without and one with UTF-8 would be sent."""
    for utf8 in (False, True):
        answers = summary.answers(("envelope", "body", "structure"), utf8=utf8)
        line = b"* 1 FETCH (ENVELOPE %b BODY %b BODYSTRUCTURE %b)\r\n"
        parse(line % tuple(answer or b"" for answer in answers), Options(utf8=utf8))
    assert len(summary.preview) <= 256


def fields(block: header.Header) -> None:
    """Everything that is ever asked of a header block."""
    references.references(block)
    for line in text.header_lines(block):
        text.search_form(line)
    for _name, value in block.fields[:50]:
        text.field_texts(value), text.address_text(value)
    for value in (value for _name, value in block.fields[:50]):
        addresses.parse(value)
        encoded_words.decode_words(value)
        dates.sent_day(value)
        dates.sent_moment(value)
        subject.base_subject(value)
        content.valued(value)
        content.tokens_of(value)
    for inverted in (False, True):
        header.select_fields(block.raw, (b"subject", b"to"), inverted=inverted)


# Doing commands on odd mail

_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # goes when the process does


@cache
def _session() -> tuple[Session, bytearray]:
    """A session with a mailbox of hostile mail selected, and what it has sent."""
    slots.CURRENT = CHEAP
    folder = tempfile.TemporaryDirectory(prefix="crymapd-fuzz-")
    _FOLDERS.append(folder)
    directory = Path(folder.name)
    store = opened(account.create(directory, PASSWORD, CHEAP))
    for octets in hostile(28):
        append(store, octets[:2000] or b" ")
    sent = bytearray()
    session = Session(sent.extend, lambda _credentials: store, store_or_none=store)
    _perform(session, b"S SELECT INBOX")
    sent.clear()
    return session, sent


_READING = (b"SEARCH", b"UID SEARCH", b"SORT", b"UID SORT", b"THREAD", b"UID THREAD", b"FETCH", b"UID FETCH",
            b"LIST", b"LSUB", b"STATUS")  # fmt: skip


def reading(data: bytes) -> None:
    """A command that changes nothing has grammatical answers, whatever the mail and the arguments."""
    if not data:
        return
    session, sent = _session()
    session.rev2 = session.utf8 = data[0] >= 128
    command = b"A " + _READING[data[0] % len(_READING)] + b" " + data[1:]
    for event in events([command + b"\r\n"], connection.AFTER_LOGIN):
        if isinstance(event, connection.Command):
            _perform(session, *event.fragments)
    whole = bytes(sent)
    sent.clear()
    for frame in frames(whole, ImapFraming()):
        parse(frame, Options(utf8=session.utf8))


def _perform(session: Session, *pieces: bytes) -> None:
    if not any(pieces[0].upper().startswith(b"A " + name) for name in _READING) and pieces[0] != b"S SELECT INBOX":
        return
    with suppress(dispatch.Malformed, Goodbye):
        done = dispatch.perform(session, dispatch.parse(list(pieces), session.state, utf8=session.unicode))
        assert done.code != "SERVERBUG", done
        session.send(done.line(pieces[0][:1]))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "fragments": fragments,
    "commands": commands,
    "message": message,
    "reading": reading,
}
