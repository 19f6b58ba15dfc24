"""INPROGRESS (RFC 9585): who waits long for a search hears how far it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from crymapd.imap import dispatch
from crymapd.imap.handler import matching
from crymapd.imap.response import Done
from crymapd.imap.session import Session
from crymapd.store import searching
from tests.testlib.answers import Code, Esearch, Response, Search, Status
from tests.testlib.grammar import parse
from tests.testlib.stores import StoreOpener, staged


class Talk:
    """A session without a connection: commands in, answers out; `flushed` counts what was sent before the end."""

    def __init__(self, session: Session, sent: list[bytes]) -> None:
        self.session = session
        self._sent = sent
        self.flushed: list[int] = []
        session.flush = lambda: self.flushed.append(len(sent))

    def command(self, line: bytes) -> tuple[list[Response], Done]:
        self._sent.clear()
        self.flushed.clear()
        done = dispatch.perform(self.session, dispatch.parse([line], self.session.state))
        whole = b"".join(self._sent).splitlines(keepends=True)
        return [parse(one) for one in whole], done  # type: ignore[misc]


@pytest.fixture
def talk(home: Path, open_store: StoreOpener) -> Talk:
    """A mailbox of 250 messages, selected."""
    store = open_store(home)
    octets = b"Subject: one of many\r\n\r\nmany\r\n"
    with staged(store, "INBOX", *[octets] * 250) as incoming:
        incoming.commit("INBOX")
    sent: list[bytes] = []
    talk = Talk(Session(sent.append, lambda _credentials: store, store_or_none=store), sent)
    talk.command(b"S SELECT INBOX")
    return talk


def progress(answers: list[Response]) -> list[tuple[str, ...]]:
    codes = [answer.code for answer in answers if isinstance(answer, Status)]
    return [code.value for code in codes if code is not None and isinstance(code.value, tuple)]


COMMANDS = (
    b'SEARCH NOT HEADER X-None ""',
    b'UID SEARCH RETURN (COUNT) NOT HEADER X-None ""',
    b'SORT (SIZE) UTF-8 NOT HEADER X-None ""',
)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_time_a_while_has_passed(talk: Talk, monkeypatch: pytest.MonkeyPatch, command: bytes) -> None:
    """Tag, what is done, and the goal, which it never reaches: then the answer itself comes. All is sent at once."""
    monkeypatch.setattr(matching, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(searching, "_BATCH", 60)
    answers, done = talk.command(b"a.1 " + command)
    assert done.status == "OK"
    told = progress(answers)
    assert len(told) == len(talk.flushed) > 1
    assert {(tag, goal) for tag, _count, goal in told} == {("a.1", "250")}
    counts = [int(count) for _tag, count, _goal in told]
    assert counts == sorted(set(counts)) and counts[-1] < 250
    assert isinstance(answers[-1], Search | Esearch)


def test_not_before(talk: Talk) -> None:
    answers, done = talk.command(b"a SEARCH LARGER 1")
    assert done.status == "OK" and not progress(answers) and not talk.flushed


def test_the_grammar_knows_it() -> None:
    line = b'* OK [INPROGRESS ("A1" 3 250)] still searching\r\n'
    assert parse(line) == Status("OK", Code("INPROGRESS", ("A1", "3", "250")), "still searching")
    for good in (b"", b" (NIL NIL NIL)", b' ("A1" 3 NIL)'):
        parse(b"* OK [INPROGRESS" + good + b"] still searching\r\n")
    for bad in (b' ("A1" 250 250)', b" (A1 3 250)", b' ("A1" NIL 250)', b' ("A1" 3)', b' ("A1" 3 0)'):
        with pytest.raises(Exception, match="expected"):
            parse(b"* OK [INPROGRESS" + bad + b"] still searching\r\n")
