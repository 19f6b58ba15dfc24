"""QUOTA (RFC 9208) on a server with `max_storage`; the transcript has the account without a limit."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.testlib.answers import Exists, MailboxStatus, Quota, QuotaRoot
from tests.testlib.client import Client, Result
from tests.testlib.server import Server, running

LIMIT = 1_000_000
USERS = ("full", "many", "copies", "delivered", "replace")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = f"[limits]\nmax_storage = {LIMIT}\n"
    with running(tmp_path_factory.mktemp("quota") / "root", config, USERS) as started:
        yield started
        assert "BUG" not in started.log()


def message(size: int) -> bytes:
    """Octets that nobody can make smaller."""
    return b"Subject: full\r\n\r\n" + os.urandom(size // 2).hex().encode()


def usage(client: Client) -> int:
    usage, limit = client.ok('GETQUOTA ""').one(Quota).resources["STORAGE"]
    assert limit == LIMIT // 1024
    return usage


def is_over(result: Result) -> bool:
    return result.status == "NO" and result.code is not None and result.code.name == "OVERQUOTA"


def test_a_full_account_takes_nothing_until_something_goes(server: Server) -> None:
    with server.client("full") as client:
        result = client.ok("GETQUOTAROOT INBOX")
        assert result.one(QuotaRoot) == QuotaRoot("INBOX", ("",))
        before = result.one(Quota).resources["STORAGE"][0]
        client.ok("APPEND INBOX {}", message(600_000))
        assert usage(client) > before
        assert is_over(client.command("APPEND INBOX {}", message(600_000)))
        assert is_over(client.command("APPEND INBOX {+}", message(600_000)))
        assert client.ok("SELECT INBOX").one(Exists).count == 1
        client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        freed = client.ok("STATUS INBOX (DELETED-STORAGE)").one(MailboxStatus).items["DELETED-STORAGE"]
        assert isinstance(freed, int) and 580 <= freed <= 600
        client.ok("EXPUNGE")
        assert usage(client) == before
        client.ok("APPEND INBOX {}", message(600_000))


def test_several_messages_count_together(server: Server) -> None:
    """MULTIAPPEND (RFC 3502): all or none."""
    with server.client("many") as client:
        three = [message(400_000) for _ in range(3)]
        assert is_over(client.command("APPEND INBOX {+} {+} {+}", *three))
        assert client.ok("SELECT INBOX").one(Exists).count == 0
        client.ok("APPEND INBOX {+} {+}", *three[:2])
        client.ok("NOOP")


def test_a_copy_takes_no_room(server: Server) -> None:
    with server.client("copies") as client:
        client.ok("APPEND INBOX {}", message(800_000))
        client.ok("SELECT INBOX")
        before = usage(client)
        client.ok("COPY 1 Archive")
        client.ok("COPY 1 Archive")
        client.ok("MOVE 1 Sent")
        assert usage(client) == before


def test_delivery_counts_and_is_told_to_wait(server: Server) -> None:
    server.deliver(message(900_000), "delivered")
    with server.client("delivered") as client:
        assert 850 <= usage(client) <= 976
        server.try_deliver(message(900_000), "delivered")
        refused = server.try_deliver(message(100), "delivered")
        assert refused.returncode == os.EX_TEMPFAIL
        assert is_over(client.command("APPEND INBOX {}", message(200_000)))


def test_what_is_replaced_makes_room(server: Server) -> None:
    """RFC 8508 section 3.4."""
    with server.client("replace") as client:
        client.ok("APPEND Drafts {}", message(700_000))
        client.ok("SELECT Drafts")
        client.ok("REPLACE 1 Drafts {+}", message(700_000))
