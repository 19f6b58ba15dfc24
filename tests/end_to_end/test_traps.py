"""What real clients need of a connection, learnt from the trouble they had with other servers."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from crymapd.imap import idle
from tests.testlib.answers import Exists
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.server import PASSWORD, Server, running


def test_many_connections_of_one_user(server: Server) -> None:
    """Several devices with five connections each; all of them hear of new mail."""
    server.add_user("busy")
    clients = [server.client("busy") for _number in range(20)]
    for client in clients:
        client.ok("SELECT INBOX")
    server.deliver(b"Subject: to all\r\n\r\n", "busy")
    for client in clients:
        assert client.ok("NOOP").one(Exists).count == 1
        client.logout()


def test_keepalive(tmp_path: Path) -> None:
    """Something now and then, so that address translators do not forget an idle connection, but rarely."""
    assert 9 * 60 <= idle.KEEPALIVE_SECONDS < 29 * 60
    limits = "crymapd.imap.idle.KEEPALIVE_SECONDS=0.3"
    with running(tmp_path / "root", limits=limits) as quick, quick.client() as client:
        client.ok("SELECT INBOX")
        tag = client.send("IDLE")
        client.read_response()
        for _time in range(3):
            assert "still here" in str(client.read_response())
        client.send_raw(b"DONE\r\n")
        client.finish(tag)


@pytest.mark.peer("openssl")
def test_server_name_with_a_dot(server: Server) -> None:
    """A server name that ends with a dot is no reason to refuse."""
    command = ["openssl", "s_client", "-connect", str(server.address("imaps")), "-servername", "localhost.", "-quiet"]
    login = f'a LOGIN alice "{PASSWORD}"\r\nb LOGOUT\r\n'.encode()
    done = subprocess.run(command, input=login, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
    assert b"a OK" in done.stdout, (done.stdout, done.stderr, ssl.OPENSSL_VERSION)
