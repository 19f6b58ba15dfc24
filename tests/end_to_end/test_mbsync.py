"""mbsync pulls a thousand messages and pushes a thousand: byte for byte, and the second run has nothing to do."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.testlib.corpus import varied
from tests.testlib.server import PASSWORD, Server

COUNT = 1000


def configuration(folder: Path, server: Server) -> Path:
    path = folder / "mbsyncrc"
    path.write_text(f"""\
IMAPAccount crymap
Host 127.0.0.1
Port {server.port("imaps")}
User syncing
Pass "{PASSWORD}"
SSLType IMAPS
CertificateFile {server.root}/cert.pem

IMAPStore far
Account crymap

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns INBOX Archive
Create Near
Sync All
Expunge None
SyncState *
""")
    return path


def run(config: Path) -> str:
    done = subprocess.run(["mbsync", "-V", "-c", config, "all"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def in_maildir(folder: Path) -> Counter[bytes]:
    """The messages of a Maildir with mail's own line ends (Maildir keeps LF)."""
    files = [path for sub in ("cur", "new") for path in (folder / sub).iterdir()]
    return Counter(without_tuid(path.read_bytes().replace(b"\n", b"\r\n")) for path in files)


def without_tuid(message: bytes) -> bytes:
    """mbsync marks what it copies with a header field of its own."""
    return re.sub(rb"(?m)^X-TUID: [^\r\n]{12}\r\n", b"", message, count=1)


@pytest.mark.peer("mbsync")
def test_both_directions(server: Server, tmp_path: Path) -> None:
    server.add_user("syncing")
    messages = list(varied(2 * COUNT, seed=7))
    # Maildir cannot tell a bare CR or LF from a line end; those travel in other tests.
    plain = [message for message in messages if message.replace(b"\r\n", b"").find(b"\n") < 0]
    assert len(plain) == 2 * COUNT
    down, up = plain[:COUNT], plain[COUNT:]
    server.deliver_files(down, "syncing")
    config = configuration(tmp_path, server)
    (tmp_path / "mail").mkdir()
    inbox = tmp_path / "mail" / "INBOX"
    for _sync in range(10):  # what there was no time to file while mbsync waited comes with the next
        run(config)
        if in_maildir(inbox).total() == len(down):
            break
    assert in_maildir(inbox) == Counter(down)

    archive = tmp_path / "mail" / "Archive" / "cur"
    for number, message in enumerate(up):
        (archive / f"{number}.up:2,S").write_bytes(message.replace(b"\r\n", b"\n"))
    run(config)
    assert Counter(map(without_tuid, on_server(server))) == Counter(up)

    before = sorted(path.name for path in (tmp_path / "mail").rglob("*") if path.is_file())
    again = run(config)
    assert again.count("near side: 1000 messages") == again.count("far side: 1000 messages") == 2
    assert sorted(path.name for path in (tmp_path / "mail").rglob("*") if path.is_file()) == before
    assert len(on_server(server)) == COUNT


def on_server(server: Server) -> list[bytes]:
    """What Archive holds, fetched by Python's own client."""
    client = server.imaplib("syncing")
    client.select("Archive")
    _status, answers = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
    client.logout()
    return [answer[1] for answer in answers if isinstance(answer, tuple)]
