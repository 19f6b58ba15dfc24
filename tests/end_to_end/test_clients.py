"""Ordinary programs list, read, flag, search, move, append and delete."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imapclient
import pytest

from tests.testlib.corpus import as_literal, sample, samples
from tests.testlib.mutt import muttrc
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.server import PASSWORD, Server, trusting
from tests.testlib.terminal import Terminal


@pytest.fixture(scope="module")
def mail(server: Server) -> Server:
    for user in ("carl", "mutt", "neomutt", "library", "imapclient"):
        server.add_user(user)
        server.deliver_files([message for name, message in samples() if name != "large"], user)
    return server


def curl(server: Server, path: str, *options: str) -> str:
    url = f"imaps://{server.address('imaps')}/{path}"
    command = ["curl", "--silent", "--show-error", "--insecure", "--user", f"carl:{PASSWORD}", *options, url]
    return subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS).stdout.decode(
        "utf-8", "replace"
    )


@pytest.mark.peer("curl")
def test_curl(mail: Server, tmp_path: Path) -> None:
    assert "Archive" in curl(mail, "")
    body = subprocess.run(
        ["curl", "-sk", "-u", f"carl:{PASSWORD}", f"imaps://{mail.address('imaps')}/INBOX;UID=1"],
        check=True,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    ).stdout
    assert body == sample("welcome")
    assert "FLAGS (" in curl(mail, "INBOX", "-X", "STORE 2 +FLAGS (\\Flagged)")
    assert curl(mail, "INBOX", "-X", "SEARCH FLAGGED").strip() == "* SEARCH 2"
    curl(mail, "INBOX", "-X", "MOVE 2 Archive")
    upload = tmp_path / "message"
    upload.write_bytes(sample("emoji"))
    curl(mail, "Archive", "-T", str(upload))
    assert "MESSAGES 2" in curl(mail, "", "-X", "STATUS Archive (MESSAGES)")
    curl(mail, "Archive", "-X", "STORE 1:* +FLAGS (\\Deleted)")
    curl(mail, "Archive", "-X", "EXPUNGE")
    assert "MESSAGES 0" in curl(mail, "", "-X", "STATUS Archive (MESSAGES)")


def test_imaplib(mail: Server) -> None:
    client = mail.imaplib("library")
    assert client.list()[0] == "OK"
    assert client.select("INBOX") == ("OK", [b"11"])
    message = client.fetch("1", "(RFC822)")[1][0]
    assert isinstance(message, tuple) and message[1] == sample("welcome")
    assert client.store("1", "+FLAGS", "(\\Flagged $Label1)")[0] == "OK"
    assert client.search(None, "FLAGGED", "KEYWORD", "$Label1")[1] == [b"1"]
    assert client.append("Drafts", "(\\Draft)", "", sample("utf8"))[0] == "OK"
    assert client.copy("2", "Archive")[0] == "OK"
    assert client.store("2", "+FLAGS", "\\Deleted")[0] == "OK"
    assert client.expunge()[1] == [b"2"]
    assert client.create("New")[0] == client.rename("New", "Newer")[0] == client.delete("Newer")[0] == "OK"
    client.logout()


def test_imapclient(mail: Server) -> None:
    with imapclient.IMAPClient("127.0.0.1", mail.port("imaps"), ssl_context=trusting()) as client:
        client.login("imapclient", PASSWORD)
        special = {name: flags for flags, _delimiter, name in client.list_folders()}
        assert b"\\Sent" in special["Sent"] and b"\\Junk" in special["Spam"]
        client.select_folder("INBOX")
        uids = client.search("ALL")
        fetched = client.fetch(uids, ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "BODY.PEEK[]"])
        wanted = {as_literal(message) for name, message in samples() if name != "large"}
        assert {item[b"BODY[]"] for item in fetched.values()} == wanted
        client.add_flags(uids[:2], [imapclient.FLAGGED, "custom"])
        assert client.search(["KEYWORD", "custom"]) == uids[:2]
        client.create_folder("Entwürfe & ☃")
        client.move(uids[:1], "Entwürfe & ☃")
        assert client.folder_status("Entwürfe & ☃", ["MESSAGES"]) == {b"MESSAGES": 1}
        client.append("Entwürfe & ☃", sample("binary"))
        client.delete_messages(uids[1:2])
        client.expunge()
        assert client.search("ALL") == uids[2:]


@pytest.mark.peer("tmux")
@pytest.mark.parametrize("program", [pytest.param(name, marks=pytest.mark.peer(name)) for name in ("mutt", "neomutt")])
def test_mutt(mail: Server, tmp_path: Path, program: str) -> None:
    """In a real terminal: the index, a message, a flag, a search, save to another mailbox, delete."""
    with Terminal([program, "-F", str(muttrc(mail, program, tmp_path))], tmp_path) as terminal:
        terminal.wait_for("Welcome")
        terminal.type("1", "Enter", "Enter")
        terminal.wait_for("encrypted before")
        terminal.type("q")
        terminal.wait_for("Msgs:11")
        terminal.type("F")  # flag
        terminal.type("s", "=Archive", "Enter")
        terminal.wait_for("Del:1")
        terminal.type("/", "picnic", "Enter")
        terminal.type("d")
        terminal.wait_for("Del:2")
        terminal.type("$")
        terminal.wait_for("Msgs:9|Msgs: 9")
        terminal.type("q")
        terminal.ended()
    client = mail.imaplib(program)
    assert client.select("INBOX") == ("OK", [b"9"])
    assert client.select("Archive") == ("OK", [b"1"])
    message = client.fetch("1", "(BODY.PEEK[])")[1][0]
    assert isinstance(message, tuple) and message[1] == sample("welcome")
    client.logout()
