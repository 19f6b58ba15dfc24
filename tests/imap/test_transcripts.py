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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("transcripts") / "root", users=()) as started:
        yield started


def test_there_are_transcripts() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, server: Server) -> None:
    user = re.sub("[^a-z0-9]", "", path.stem)
    server.add_user(user)

    def connect() -> socket.socket:
        return server.tls_socket()

    def deliver(name: str) -> None:
        server.deliver(sample(name), user)

    transcript.run(path, connect, deliver, user=user, password=PASSWORD)
