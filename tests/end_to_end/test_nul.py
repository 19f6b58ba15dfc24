"""Mail with NUL octets, which no literal can hold, in ordinary programs: what stands behind a NUL is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.testlib.corpus import as_literal
from tests.testlib.mutt import muttrc
from tests.testlib.patience import PATIENCE_SECONDS
from tests.testlib.server import PASSWORD, Server
from tests.testlib.terminal import Terminal

USER = "nul"
MAIL = (
    b"From: Bob <b\0ob@example.net>\r\nSubject: on\0e\r\nX-Nul: a\0b\r\n\r\nbefore\0behind\r\n"
    + b"more\0lines\r\n" * 20_000
)
FETCHED = as_literal(MAIL)


@pytest.fixture(scope="module")
def mail(server: Server) -> Server:
    server.add_user(USER)
    server.deliver(MAIL, USER)
    return server


@pytest.mark.peer("curl")
def test_curl(mail: Server) -> None:
    url = f"imaps://{mail.address('imaps')}/INBOX;UID=1"
    command = ["curl", "-sSk", "-u", f"{USER}:{PASSWORD}", url]
    assert subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS).stdout == FETCHED


@pytest.mark.peer("mbsync")
def test_mbsync(mail: Server, tmp_path: Path) -> None:
    """It copies the message once, and not again."""
    (tmp_path / "Maildir").mkdir()
    config = tmp_path / "mbsyncrc"
    config.write_text(
        f"""\
IMAPStore far
Host localhost
Port {mail.port("imaps")}
User {USER}
Pass "{PASSWORD}"
SSLType IMAPS
CertificateFile {mail.root}/cert.pem

MaildirStore near
Inbox {tmp_path}/Maildir/

Channel all
Far :far:
Near :near:
Create Near
SyncState *
"""
    )
    for _time in range(2):
        subprocess.run(["mbsync", "-c", config, "all"], check=True, timeout=PATIENCE_SECONDS)
        (copy,) = [path for path in (tmp_path / "Maildir").glob("*/*") if path.parent.name in ("new", "cur")]
        octets = copy.read_bytes()
        assert b"before\x80behind\n" in octets and octets.count(b"more\x80lines\n") == 20_000


@pytest.mark.peer("tmux")
@pytest.mark.parametrize("program", [pytest.param(name, marks=pytest.mark.peer(name)) for name in ("mutt", "neomutt")])
def test_mutt(mail: Server, tmp_path: Path, program: str) -> None:
    with Terminal([program, "-F", str(muttrc(mail, USER, tmp_path))], tmp_path) as terminal:
        terminal.wait_for("Msgs:1")
        terminal.type("1", "Enter", "Enter")
        terminal.wait_for("behind")
        terminal.type("q", "q")
        terminal.ended()
