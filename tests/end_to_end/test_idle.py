"""New mail reaches an idle session at once; two sessions see each other."""

from __future__ import annotations

from tests.testlib.answers import Exists, Expunge, Fetch
from tests.testlib.server import Server

MESSAGE = b"Subject: news\r\n\r\nhello\r\n"


def test_delivery_reaches_idle(server: Server) -> None:
    server.add_user("idler")
    with server.client("idler") as client:
        client.ok("SELECT INBOX")
        with client.idle() as idle:
            for count in (1, 2, 3):
                server.deliver(MESSAGE, "idler")
                exists = idle.wait_for(Exists)
                assert exists.count == count
        client.logout()


def test_two_sessions(server: Server) -> None:
    server.add_user("pair")
    server.deliver_files([MESSAGE] * 3, "pair")
    with server.client("pair") as one, server.client("pair") as two:
        one.ok("SELECT INBOX")
        two.ok("SELECT INBOX")
        with two.idle() as idle:
            one.ok("STORE 2 +FLAGS (\\Flagged)")
            fetch = idle.wait_for(Fetch)
            assert fetch.number == 2 and "\\Flagged" in fetch.flags
            one.ok("STORE 1 +FLAGS (\\Deleted)")
            one.ok("EXPUNGE")
            assert idle.wait_for(Expunge).number == 1
        one.logout()
        two.logout()
