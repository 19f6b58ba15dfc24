"""Every transcript against the real service: one server, a fresh account for each."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testlib import transcript
from tests.testlib.corpus import sample
from tests.testlib.server import PASSWORD, Server, running

FILES = transcript.find(Path(__file__).parent / "transcripts")


def _user(path: Path) -> str:
    return re.sub("[^a-z0-9]", "", path.stem)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The accounts of all chosen transcripts are made at once, which is much faster than one by one."""
    chosen = {item.callspec.params.get("path") for item in request.session.items if hasattr(item, "callspec")}
    with running(tmp_path_factory.mktemp("transcripts") / "root", users=()) as started:
        started.add_users([_user(path) for path in FILES if path in chosen])
        yield started
        assert "BUG" not in started.log()


def test_there_are_transcripts() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, server: Server) -> None:
    user = _user(path)

    def connect() -> socket.socket:
        return server.tls_socket()

    def deliver(name: str) -> None:
        server.deliver(sample(name), user)

    transcript.run(path, connect, deliver, user=user, password=PASSWORD)
