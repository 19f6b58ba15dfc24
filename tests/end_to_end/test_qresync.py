"""Mutt and NeoMutt with QRESYNC: what happened while they were away, or while they watch, comes without asking for all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.testlib.corpus import samples
from tests.testlib.mutt import muttrc
from tests.testlib.server import Server
from tests.testlib.terminal import Terminal

NEWS = b"From: Bob <bob@example.net>\r\nSubject: Just in\r\nDate: Sat, 20 Jun 2026 10:00:00 +0000\r\n\r\nnews\r\n"
LOGS = {"mutt": ".muttdebug0", "neomutt": ".neomuttdebug0"}


def settings(server: Server, folder: Path, user: str) -> Path:
    (folder / "headers").mkdir()
    more = f"""\
set imap_condstore=yes
set imap_qresync=yes
set header_cache="{folder}/headers"
set index_format="%3C %Z %s"
set resolve=yes
"""
    return muttrc(server, user, folder, more)


def visit(program: str, rc: Path, during: Callable[[Terminal], object]) -> str:
    """Start it, do something, quit; what its log says, without the time."""
    command = ["env", f"HOME={rc.parent}", program, "-F", str(rc), "-d", "5"]
    with Terminal(command, rc.parent) as terminal:
        during(terminal)
        terminal.type("q")
        terminal.ended()
    return (rc.parent / LOGS[program]).read_text("utf-8", "replace")


@pytest.mark.peer("tmux")
@pytest.mark.parametrize(
    ("program", "gone"),
    [
        pytest.param("mutt", "3", marks=pytest.mark.peer("mutt")),
        pytest.param("neomutt", "", marks=pytest.mark.peer("neomutt")),
    ],
)
def test_qresync(server: Server, tmp_path: Path, program: str, gone: str) -> None:
    """Away: one message flagged, one gone (for Mutt), one new; then watching: one flagged, one gone.

    NeoMutt (20220429 at least) lists everything again after any VANISHED (EARLIER): its imap/command.c believes that
    this moves no sequence numbers, where Mutt's knows better, and then finds its own numbers wrong.
    """
    user = f"qresync-{program}"
    server.add_user(user)
    server.deliver_files([message for name, message in samples() if name != "large"], user)
    rc = settings(server, tmp_path, user)

    first = visit(program, rc, lambda terminal: arrives(terminal, 11, "New:11"))
    assert re.search(r"\ba\d+ ENABLE QRESYNC", first) and "* ENABLED QRESYNC" in first

    elsewhere(server, user, gone, "5")
    server.deliver(NEWS, user)
    count = 12 - bool(gone)

    def returns(terminal: Terminal) -> None:
        flagged = 5 - bool(gone)
        screen = arrives(terminal, count, "Flag:1")
        assert re.search(rf"(?m)^ *{flagged} .*!.* Grüße aus Zürich", screen), screen
        assert re.search(rf"(?m)^ *{count} .*Just in", screen), screen
        elsewhere(server, user, "1", "6")
        screen = arrives(terminal, count - 1, "Flag:2")
        assert re.search(rf"(?m)^ *{flagged} .*!.* Le café est prêt", screen), screen

    second = visit(program, rc, returns)
    assert re.search(r"\ba\d+ UID FETCH [\d:*]+ \(FLAGS\) \(CHANGEDSINCE \d+ VANISHED\)", second), second
    assert not gone or f"* VANISHED (EARLIER) {gone}" in second
    assert "* VANISHED 1" in second
    assert "QRESYNC failed" not in second
    headers = re.findall(r"\ba\d+ FETCH (\S+) \(.*RFC822.SIZE", second)
    assert headers == [str(count)], "only the new message's header is asked for"


def arrives(terminal: Terminal, count: int, more: str) -> str:
    """The status line counts so many messages, and the screen is complete."""
    return terminal.wait_for(rf"(?s)\n *{count} .*Msgs: ?{count}\b.*{more}\b")


def elsewhere(server: Server, user: str, gone: str, flagged: str) -> None:
    """Another program flags a message, and may delete one."""
    client = server.imaplib(user)
    client.select("INBOX")
    client.uid("STORE", flagged, "+FLAGS.SILENT", "(\\Flagged)")
    if gone:
        client.uid("STORE", gone, "+FLAGS.SILENT", "(\\Deleted)")
        client.expunge()
    client.logout()
