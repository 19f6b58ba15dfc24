"""Mozilla Thunderbird shows the account, reads, hears of new mail, stars, tags, moves and deletes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.testlib.corpus import samples
from tests.testlib.patience import until
from tests.testlib.server import Server
from tests.testlib.thunderbird import Thunderbird, is_blank

USER = "thunderbird"
CHART, WELCOME, LOCK = "Chart and numbers for June", "Welcome to your encrypted mailbox", "A lock on every drawer"
NEWS = b"From: Bob <bob@example.net>\r\nSubject: Just in\r\nDate: Sat, 20 Jun 2026 10:00:00 +0000\r\n\r\nnews\0behind NUL\r\n"
ARTEFACTS = Path(__file__).resolve().parents[2] / ".ci" / "artefacts"


@pytest.mark.peer("thunderbird")
def test_thunderbird(server: Server, tmp_path: Path) -> None:
    server.add_user(USER)
    server.deliver_files([message for name, message in samples() if name != "large"], USER)
    with Thunderbird(server, USER, tmp_path) as program:
        opens_the_account(program)
        reads(program)
        takes_a_picture(program)
        hears_of_new_mail(program, server)
        changes(program, server)
    said(program.trace(), server.log())


def opens_the_account(program: Thunderbird) -> None:
    """The folders with what each is for, and the list of messages."""
    program.wait_for("return show('INBOX')")
    folders = {
        "INBOX": "inbox", "Drafts": "drafts", "Sent": "sent", "Archive": "archive", "Spam": "junk", "Trash": "trash",
    }  # fmt: skip
    program.wait_for("return Object.entries(arguments[0]).every(([name, use]) => folders()[name] == use)", folders)
    program.wait_for("return subjects().length == 11")
    subjects = program.run("return subjects()")
    assert subjects[0] == "What is new in June — the short version" and subjects[-1] == WELCOME
    assert {"Le café est prêt", "Grüße aus Zürich", "Your key is safe 🔐✨"} <= set(subjects)


def reads(program: Thunderbird) -> None:
    program.run("select(arguments[0])", CHART)
    assert "the chart and the numbers behind it." in program.wait_for("return shown(arguments[0])", CHART)
    assert program.run("return attachments()") == ["chart.png", "numbers.csv"]
    program.wait_for("return header(arguments[0]).isRead", CHART)
    program.run("select(arguments[0])", WELCOME)
    program.wait_for("return shown(arguments[0]).includes('encrypted before')", WELCOME)


def takes_a_picture(program: Thunderbird) -> None:
    program.wait_for("return status() == '' || status() == 'Done'")
    picture = program.screenshot()
    assert not is_blank(picture)
    ARTEFACTS.mkdir(exist_ok=True)
    (ARTEFACTS / "thunderbird.png").write_bytes(picture)


def hears_of_new_mail(program: Thunderbird, server: Server) -> None:
    """It idles in INBOX."""
    server.deliver(NEWS, USER)
    program.wait_for("return subjects()[0] == 'Just in'")
    program.run("select('Just in')")
    program.wait_for("return shown('Just in').includes('behind NUL')")


def changes(program: Thunderbird, server: Server) -> None:
    """One step after another, as a person would: in haste, Thunderbird can lose a deletion behind a move under way."""
    client = server.imaplib(USER)

    def holds(mailbox: str, criterion: str, count: int) -> bool:
        client.select(mailbox, readonly=True)
        return len(client.search(None, criterion)[1][0].split()) == count

    program.run("folder('INBOX').markMessagesFlagged([header(arguments[0])], true)", WELCOME)
    program.run("folder('INBOX').addKeywordsToMessages([header(arguments[0])], '$label1')", WELCOME)
    until(lambda: holds("INBOX", "FLAGGED KEYWORD $label1", 1))
    program.run("select(arguments[0])", LOCK)
    program.wait_for("return shown(arguments[0]).includes('a lock on every drawer')", LOCK)
    program.run("press('cmd_archive')")
    program.wait_for("return !subjects().includes(arguments[0])", LOCK)
    until(lambda: holds("INBOX", "ALL", 11))
    program.run("select('Just in')")
    program.wait_for("return shown('Just in').includes('behind NUL')")
    program.run("press('cmd_delete')")
    program.wait_for("return !subjects().includes('Just in')")
    until(lambda: holds("INBOX", "ALL", 10))
    until(lambda: holds("Trash", "ALL", 1))
    client.logout()


def said(trace: str, log: str) -> None:
    """What went over the wire, by its own log and by ours."""
    assert re.search(rf"user={USER} client name='Thunderbird' version='\d+\.", log)
    sent, answers = spoken(trace, "SendData"), spoken(trace, "CreateNewLineFromSocket")
    for command in (
        'ID ("name" "Thunderbird" "version"',
        "COMPRESS DEFLATE",
        "ENABLE UTF8=ACCEPT",
        'list (subscribed) "" "*" return (special-use)',
        'select "INBOX"',
        "UID fetch 3 (UID RFC822.SIZE BODY[])",
        "IDLE",
        "uid store 1 +Flags (\\Flagged)",
        "uid store 1 +FLAGS ($label1)",
        "uid move ",
    ):
        assert re.search(rf"(?m)^\d+ {re.escape(command)}", sent), f"{command} is missing in\n{sent}"
    assert not re.search(r"(?m)^\d+ (NO|BAD)", answers), answers


def spoken(trace: str, direction: str) -> str:
    """The lines of one direction, of all connections."""
    return "\n".join(re.findall(rf"(?m){direction}: (.*)$", trace))
