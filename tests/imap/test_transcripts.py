"""Every transcript of IMAP against the real service: one server for all, and a fresh account for each."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.testlib import transcript
from tests.testlib.corpus import sample
from tests.testlib.server import PASSWORD, Server, running

FILES = transcript.find(Path(__file__).parent / "transcripts")


# Transcripts that log in by themselves name the account that they were written for.
ANY_ACCOUNT = [path for path in FILES if "!nologin" not in path.read_text()]


def _user(path: Path) -> str:
    return re.sub("[^a-z0-9]", "", path.stem)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server, with the accounts of all chosen transcripts, which are created at once because that is much faster."""
    chosen = {item.callspec.params.get("path") for item in request.session.items if hasattr(item, "callspec")}
    with running(tmp_path_factory.mktemp("transcripts") / "root", users=()) as started:
        started.add_users([name for path in FILES if path in chosen for name in (_user(path), _other(path))])
        yield started
        assert "BUG" not in started.log()


def test_there_are_transcripts() -> None:
    assert FILES


def _other(path: Path) -> str:
    """The name of the account whose index is deleted before each command."""
    return f"{_user(path)}.2"


def _nothing() -> None:
    """What `test_transcript` does before a command."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, server: Server) -> None:
    _hold(path, server, _user(path), _nothing)


@pytest.mark.parametrize("path", ANY_ACCOUNT, ids=lambda path: path.stem)
def test_transcript_without_index(path: Path, server: Server) -> None:
    """The responses are the same when `index.db` is deleted before each command."""
    home = server.root / "users" / _other(path)

    def delete_index() -> None:
        for file in home.glob("index.db*"):
            file.unlink(missing_ok=True)

    _hold(path, server, _other(path), delete_index)


def _hold(path: Path, server: Server, user: str, before_command: Callable[[], None]) -> None:
    def connect() -> socket.socket:
        return server.connect("imaps")

    def deliver(name: str) -> None:
        server.deliver(sample(name), user)

    transcript.run(path, connect, deliver, user=user, password=PASSWORD, before_command=before_command)
