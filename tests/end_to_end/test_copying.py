"""OfflineIMAP synchronises both ways, getmail and fetchmail collect: byte for byte, once their own header fields are gone."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.testlib.corpus import sample, samples
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.server import PASSWORD, Server


def run(folder: Path, *command: str | Path) -> str:
    """A program with a home of its own."""
    environment = {**os.environ, "HOME": str(folder), "LANG": "C.UTF-8"}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, timeout=PATIENCE_SECONDS)
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, output
    return output


def mail() -> list[bytes]:
    """The samples that are lines; mail that is odd or binary these programs write anew in their own way."""
    return [message for name, message in samples() if name != "binary"]


def unix(messages: Iterable[bytes]) -> Counter[bytes]:
    """With the line ends of files."""
    return Counter(message.replace(b"\r\n", b"\n") for message in messages)


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def account(server: Server) -> Server:
    server.add_user("copying")
    server.deliver_files(mail(), "copying")
    return server


@pytest.mark.peer("offlineimap")
def test_offlineimap(account: Server, tmp_path: Path) -> None:
    config = tmp_path / "rc"
    config.write_text(f"""\
[general]
accounts = crymap
metadata = {tmp_path}/metadata
ui = basic

[Account crymap]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {tmp_path}/mail

[Repository far]
type = IMAP
remotehost = localhost
remoteport = {account.port("imaps")}
remoteuser = copying
remotepass = {PASSWORD}
ssl = yes
sslcacertfile = {account.root}/cert.pem
usecompression = yes
""")
    run(tmp_path, "offlineimap", "-c", config, "-o")
    assert unix(contents(tmp_path / "mail" / "INBOX")) == unix(mail())

    here = tmp_path / "mail" / "Archive" / "cur" / "1700000000_0.1.here,U=0:2,FS"
    here.write_bytes(sample("utf8").replace(b"\r\n", b"\n"))
    read = next(path for path in (tmp_path / "mail" / "INBOX").rglob("*,U=1,*"))
    read.rename(read.parent.parent / "cur" / f"{read.name.partition(':')[0]}:2,S")
    assert "COMPRESS DEFLATE" in run(tmp_path, "offlineimap", "-c", config, "-o", "-d", "imap")
    client = account.imaplib("copying")
    client.select("INBOX")
    assert client.search(None, "SEEN")[1] == [b"1"]
    client.select("Archive")
    assert client.search(None, "SEEN FLAGGED")[1] == [b"1"]
    fetched = client.fetch("1", "(BODY.PEEK[])")[1][0]
    assert isinstance(fetched, tuple) and own(fetched[1]) == sample("utf8")
    client.logout()


def own(message: bytes) -> bytes:
    """Without what OfflineIMAP adds to find again what it has uploaded."""
    return re.sub(rb"(?m)^X-OfflineIMAP: [^\r\n]*\r\n", b"", message, count=1)


@pytest.mark.peer("getmail")
def test_getmail(account: Server, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    (tmp_path / "getmailrc").write_text(f"""\
[retriever]
type = SimpleIMAPSSLRetriever
server = localhost
port = {account.port("imaps")}
username = copying
password = {PASSWORD}
mailboxes = ("INBOX",)
ca_certs = {account.root}/cert.pem
use_peek = true

[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat > {into}/$$")
unixfrom = false
allow_root_commands = true

[options]
read_all = false
delivered_to = false
received = false
""")
    collect = ("getmail", f"--getmaildir={tmp_path}", "--rcfile=getmailrc")
    assert f"{len(mail())} messages" in run(tmp_path, *collect)
    added = re.compile(rb"(?m)^(?:Return-Path|X-getmail-retrieved-from-mailbox): [^\n]*\n")
    assert Counter(added.sub(b"", message, count=2) for message in contents(into)) == unix(mail())
    assert "0 messages" in run(tmp_path, *collect)  # the UIDs are the same as before


@pytest.mark.peer("fetchmail")
def test_fetchmail(account: Server, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    config = tmp_path / "fetchmailrc"
    config.touch(mode=0o600)
    config.write_text(f"""\
set no syslog
poll localhost service {account.port("imaps")} protocol imap auth password
  user "copying" password "{PASSWORD}" ssl sslcertck sslcertfile "{account.root}/cert.pem"
  fetchall keep no rewrite no mimedecode no dropstatus
  mda "cat > {into}/$$"
""")
    run(tmp_path, "fetchmail", "--fetchmailrc", config, "--pidfile", tmp_path / "pid")
    received = re.compile(rb"Received: from localhost [^\n]*\n(?:\t[^\n]*\n)+")
    assert Counter(received.sub(b"", message, count=1) for message in contents(into)) == unix(mail())
