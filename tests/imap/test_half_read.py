"""A disk that fails in the middle of a large message: no answer ends up inside another, the other messages are served."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crymapd.imap import dispatch
from crymapd.imap.response import Broken, Done
from crymapd.imap.session import Session
from tests.testlib.stores import StoreOpener, append, message


class Failing:
    """A file of which only the first half can be read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = 20

    def read(self, octets: int) -> bytes:
        self._left -= 1
        if not self._left:
            raise OSError(5, "Input/output error")
        return bytes(self._file.read(octets))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


Command = Callable[[bytes], tuple[Done, bytes]]


@pytest.fixture
def command(home: Path, open_store: StoreOpener, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The answer to a command where message 1 cannot be read to its end and message 2 can."""
    store = open_store(home)
    append(store, b"Subject: large\r\n\r\n" + os.urandom(3 << 20).replace(b"\r", b"x"))
    append(store, message("small"))
    store.close()
    for path in home.glob("index.db*"):
        path.unlink()
    again = open_store(home)
    sent: list[bytes] = []
    session = Session(sent.append, lambda _credentials: again, store_or_none=again)
    fdopen = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *arguments: Failing(fdopen(*arguments)))

    def perform(line: bytes) -> tuple[Done, bytes]:
        sent.clear()
        done = dispatch.perform(session, dispatch.parse([b"T " + line], session.state))
        return done, b"".join(sent)

    perform(b"SELECT INBOX")
    return perform


@pytest.mark.parametrize("item", [b"ENVELOPE", b"BODYSTRUCTURE", b"BODY.PEEK[1]<0.5>", b"BINARY.SIZE[1]"])
def test_the_other_message_is_answered(command: Command, item: bytes, event_lines: list[str]) -> None:
    done, sent = command(b"FETCH 1:2 " + item)
    assert done.status == "NO" and done.code == "UNAVAILABLE"
    assert b"* 2 FETCH" in sent and b"* 1 FETCH" not in sent
    assert any("cannot be read now: Input/output error" in line for line in event_lines)


def test_a_search_finds_the_other(command: Command) -> None:
    assert command(b"SEARCH SUBJECT small") == (Done("OK", "done"), b"* SEARCH 2\r\n")


def test_nothing_follows_half_a_literal(command: Command) -> None:
    with pytest.raises(Broken):
        command(b"FETCH 1:2 BODY.PEEK[]")
