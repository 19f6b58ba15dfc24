"""Every reason has an answer, and every command somebody who does it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crymapd import errors
from crymapd.errors import CrymapError
from crymapd.imap import failure
from crymapd.imap.command import general as general_command
from crymapd.imap.dispatch import HANDLERS
from crymapd.imap.state import COMMANDS
from crymapd.imap.wire.reader import BadSyntax, Reader
from tests.testlib.answers import Tagged
from tests.testlib.grammar import Options, parse

UNREACHABLE = {
    errors.ConfigError: "raised before there is a client",
    errors.BadCredentials: "login answers it, `handler.general.log_in`",
    errors.AccountUnavailable: "login answers it, `handler.general.log_in`",
    errors.AccountUnusable: "login answers it, `handler.general.log_in`",
    errors.UnsafeName: "a failed login like any other, `handler.general.log_in`",
    errors.NoSuchUser: "only delivery and the command line look users up",
    errors.AccountExists: "only the command line makes accounts",
    errors.NoDeliveryKey: "only delivery seals for others",
    errors.MailboxError: "only its subclasses are raised",
}

COMMAND_LINES = {
    "CAPABILITY": "",
    "NOOP": "",
    "LOGOUT": "",
    "ID": " NIL",
    "STARTTLS": "",
    "LOGIN": " alice secret",
    "AUTHENTICATE": " PLAIN",
    "ENABLE": " CONDSTORE",
    "NAMESPACE": "",
    "SELECT": " INBOX",
    "EXAMINE": " INBOX",
    "CREATE": " a",
    "DELETE": " a",
    "RENAME": " a b",
    "SUBSCRIBE": " a",
    "UNSUBSCRIBE": " a",
    "LIST": ' "" *',
    "LSUB": ' "" *',
    "STATUS": " a (MESSAGES)",
    "IDLE": "",
    "CHECK": "",
    "CLOSE": "",
    "UNSELECT": "",
    "EXPUNGE": "",
    "FETCH": " 1 FLAGS",
    "STORE": " 1 FLAGS ()",
    "SEARCH": " ALL",
    "COPY": " 1 a",
    "MOVE": " 1 a",
    "UID FETCH": " 1 FLAGS",
    "UID STORE": " 1 FLAGS ()",
    "UID SEARCH": " ALL",
    "UID COPY": " 1 a",
    "UID MOVE": " 1 a",
    "UID EXPUNGE": " 1",
    "COMPRESS": " DEFLATE",
    "XYZZY": "",
    "XLIST": ' "" *',
    "GETQUOTA": ' ""',
    "GETQUOTAROOT": " INBOX",
    "SORT": " (DATE) UTF-8 ALL",
    "THREAD": " REFERENCES UTF-8 ALL",
    "XVANQUISH": " 1",
    "UID SORT": " (DATE) UTF-8 ALL",
    "UID THREAD": " REFERENCES UTF-8 ALL",
}
CONVERSATIONS = (general_command.Authenticate, general_command.Compress, general_command.Idle)
WITH_MESSAGE = {"APPEND": " INBOX", "REPLACE": " 1 INBOX", "UID REPLACE": " 1 INBOX"}


def reasons(kind: type[CrymapError] = CrymapError) -> Iterator[type[CrymapError]]:
    """Every class of errors.py, the base included."""
    if kind.__module__ == errors.__name__:
        yield kind
    for below in kind.__subclasses__():
        yield from reasons(below)


def test_every_reason_is_in_the_table_or_cannot_reach_it() -> None:
    assert set(reasons()) == set(failure.ANSWERS) | set(UNREACHABLE)
    assert not set(failure.ANSWERS) & set(UNREACHABLE)


def test_no_row_hides_a_later_one() -> None:
    rows = list(failure.ANSWERS)
    assert not [(above, below) for at, below in enumerate(rows) for above in rows[:at] if issubclass(below, above)]


@pytest.mark.parametrize("kind", list(reasons()), ids=lambda kind: kind.__name__)
def test_an_answer_is_of_the_grammar(kind: type[CrymapError]) -> None:
    error = kind(7) if kind is errors.TooBig else kind("no\r\nA1 OK such\x00 thing ü")
    done = failure.answer(error)
    answer = parse(done.line(b"A1"), Options())
    assert isinstance(answer, Tagged) and answer.status == "NO" and answer.tag == "A1"
    assert answer.code is not None and answer.code.name == failure.ANSWERS.get(kind, done.code)


def test_what_is_no_concern_of_the_client_stays_in_the_log() -> None:
    for kind in (errors.Damaged, errors.KeyMissing, errors.NewerStore, errors.AccountUnusable, CrymapError):
        assert "secret detail" not in failure.answer(kind("secret detail")).text


def test_every_command_is_tried_here() -> None:
    assert {name.decode() for name in COMMANDS} == {*COMMAND_LINES, *WITH_MESSAGE}


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_every_command_has_somebody_who_does_it(name: str) -> None:
    reader = Reader([COMMAND_LINES[name].encode()])
    command = COMMANDS[name.encode()].parse(reader)
    reader.end()
    assert type(command) in HANDLERS or isinstance(command, CONVERSATIONS)


@pytest.mark.parametrize("name", WITH_MESSAGE)
def test_without_a_message_it_is_refused(name: str) -> None:
    with pytest.raises(BadSyntax, match="literal"):
        COMMANDS[name.encode()].parse(Reader([WITH_MESSAGE[name].encode()]))


def test_every_handler_belongs_to_a_command() -> None:
    done = {type(COMMANDS[name.encode()].parse(Reader([line.encode()]))) for name, line in COMMAND_LINES.items()}
    assert set(HANDLERS) == done - set(CONVERSATIONS)
