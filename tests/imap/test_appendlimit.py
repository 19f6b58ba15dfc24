"""APPENDLIMIT (RFC 7889) to the octet, with both kinds of literals; the transcript compares what is announced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.testlib.answers import Capability, Exists, MailboxStatus
from tests.testlib.client import Client, Result
from tests.testlib.server import Server, running

LIMIT = 10_000
FITS = b"Subject: x\r\n\r\n".ljust(LIMIT, b"x")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = f"[limits]\nmax_message_size = {LIMIT}\n"
    with running(tmp_path_factory.mktemp("appendlimit") / "root", config) as started:
        yield started
        assert "BUG" not in started.log()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as connected:
        yield connected


def is_too_big(result: Result) -> bool:
    return result.status == "NO" and result.code is not None and result.code.name == "TOOBIG"


def test_the_configured_number_is_announced(client: Client) -> None:
    assert f"APPENDLIMIT={LIMIT}" in client.ok("CAPABILITY").one(Capability).names
    assert client.ok("STATUS INBOX (APPENDLIMIT)").one(MailboxStatus).items == {"APPENDLIMIT": LIMIT}


@pytest.mark.parametrize("form", ["{}", "{+}", "(\\Seen) {}", "(\\Seen) {+}"])
def test_to_the_octet(client: Client, form: str) -> None:
    client.ok(f"APPEND Sent {form}", FITS)
    assert is_too_big(client.command(f"APPEND Sent {form}", FITS + b"x"))
    client.ok(f"APPEND Sent {form}", FITS)  # and nothing is out of step


def test_the_second_of_several(client: Client) -> None:
    """MULTIAPPEND (RFC 3502): all or none."""
    assert is_too_big(client.command("APPEND Drafts {+} {+}", FITS, FITS + b"x"))
    assert client.ok("SELECT Drafts").one(Exists).count == 0
    client.ok("APPEND Drafts {+} {+}", FITS, FITS)
    client.ok("NOOP")


def test_utf8(client: Client) -> None:
    """RFC 6855 section 4."""
    client.ok("ENABLE UTF8=ACCEPT")
    client.ok("APPEND Sent UTF8 (~{+})", FITS)
    assert is_too_big(client.command("APPEND Sent UTF8 (~{+})", FITS + b"x"))
    client.ok("NOOP")
