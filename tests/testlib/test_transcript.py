"""Tests of the transcript runner, in every dialect, against fake servers."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.testlib import transcript
from tests.testlib.dialects import DIALECTS, IMAP, LMTP, SMTP, Dialect, check_reply, dialect_of
from tests.testlib.framing import Framing, ImapFraming, SmtpFraming, frames
from tests.testlib.plays import Peer, Play, serving
from tests.testlib.scanner import Ungrammatical


def _run(tmp_path: Path, text: str, *plays: Play, folder: str = "imap", delivered: list[str] | None = None) -> None:
    """Hold the dialogue of this transcript, which lies in a folder of that name, with the plays as the server."""
    path = tmp_path / folder / "transcripts" / "case.txt"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with serving(*plays) as connect:
        deliver = (delivered if delivered is not None else list[str]()).append
        transcript.run(path, connect, deliver, timeout=5)


# IMAP


def _logged_in(peer: Peer) -> None:
    peer.say(b"* OK hello\r\n")
    peer.hear(b'unseen LOGIN "alice" "correct horse"\r\n')
    peer.say(b"* CAPABILITY IMAP4rev1\r\nunseen OK in\r\n")


def _first(peer: Peer) -> None:
    _logged_in(peer)
    peer.hear(b"unseen APPEND INBOX (\\Seen) {5}\r\n")
    peer.say(b"+ go\r\n")
    peer.hear(b"a\r\nb\xc3\r\n")
    peer.say(b"unseen OK done\r\n")
    peer.hear(b'unseen SELECT "INBOX"\r\n')
    peer.say(b"* 1 EXISTS\r\nunseen OK done\r\n")
    peer.hear(b"A1 FETCH 1 (BODY[])\r\n")
    peer.say(b"* 9 EXISTS\r\n* 1 FETCH (UID 77 BODY[] {5}\r\na\r\nb\0 BODY[1] {2}\r\nzz)\r\nA1 OK done\r\n")
    peer.hear(b"A2 UID FETCH 77 (FLAGS)\r\n")
    peer.say(b"* 2 RECENT\r\n* 3 EXISTS\r\n* 4 EXISTS\r\nA2 OK done\r\n")
    peer.hear(b"A3 APPEND INBOX {3}\r\n")
    peer.say(b"+ \r\n")
    peer.hear(b"x\r\n {1+}\r\ny\r\n")
    peer.say(b"* BYE gone\r\n")


def _second(peer: Peer) -> None:
    _logged_in(peer)
    peer.hear(b"B1 NOOP\r\n")
    peer.say(b"* 77 EXISTS\r\nB1 OK done\r\n")


_EVERYTHING = r"""# RFC 9051 section 1: everything
!lax
!deliver welcome
!append INBOX (\Seen) "a\r\nb\xc3"
!select INBOX

# a comment
C: A1 FETCH 1 (BODY[])
S*: * 1 FETCH (UID <<uid:[0-9]+>> BODY[] {5}
SL: a\r\nb\x00
S:  BODY[1] {<<*>>}
SL: <<*>>
S: )
S!: * <<*>> EXPUNGE
S: A1 OK <<*>>
!deliver emoji
C: A2 UID FETCH <<uid>> (FLAGS)
S!: * 5 EXISTS
S?{
S: * 4 EXISTS
S: * <<recent:\d>> RECENT
S: * 3 EXISTS
S?}
S: A2 OK done
C2: B1 NOOP
S2: * <<uid>> EXISTS
S2: B1 OK done
C: A3 APPEND INBOX {CL}
S: +<<sp>>
CL: x\r\n
C:  {CL+}
CL: <<<y>>>
C:
S: * BYE gone
S: <<close>>
"""


def test_a_transcript_with_everything(tmp_path: Path) -> None:
    delivered: list[str] = []
    _run(tmp_path, _EVERYTHING, _first, _second, delivered=delivered)
    assert delivered == ["welcome", "emoji"]


def _says(answer: bytes) -> Play:
    def play(peer: Peer) -> None:
        peer.say(b"* OK hello\r\n")
        peer.line()
        peer.say(answer)

    return play


@pytest.mark.parametrize(
    ("script", "answer", "complaint"),
    [
        ("S: A1 OK done", b"A1 NO done\r\n", "expected: S: A1 OK done\n  received: A1 NO done"),
        ("S*: * 2 EXISTS", b"* 1 EXISTS\r\nA1 OK done\r\n", "received: A1 OK done"),
        (
            "S!: * <<*>> EXISTS\nS*: A1 OK done",
            b"* 1 EXISTS\r\nA1 OK done\r\n",
            "nothing like S: * <<*>> EXISTS",
        ),
        ("S: * 1 EXISTS\nS: A1 OK x\nS!: * 1 EXISTS", b"* 1 EXISTS\r\nA1 OK x\r\n", "case.txt:7"),
        (
            "S?{\nS: * 1 EXISTS\nS: * 2 EXISTS\nS?}",
            b"* 1 EXISTS\r\n* 1 EXISTS\r\n",
            "expected: S: * 2 EXISTS",
        ),
        ("S: * 1 EXISTS", b"* 1 EXISTS \r\n", "Ungrammatical"),
        ("S: * 1 EXISTS", b"* 1 EXI", "Closed"),
        ("S: <<close>>", b"A1 OK x\r\n", "the end of the connection"),
        ("S: <<never>>", b"A1 OK x\r\n", "<<never>> was never captured"),
        ("S: * 1 FETCH (BODY[] {1}\nSL: a\nS: )", b"* 1 FETCH (BODY[] {1}\r\nb)\r\n", "received:"),
    ],
)
def test_transcripts_complain(tmp_path: Path, script: str, answer: bytes, complaint: str) -> None:
    text = f"# reason\n!nologin\nS: * OK hello\nC: A1 NOOP\n{script}\n"
    with pytest.raises(AssertionError) as caught:
        _run(tmp_path, text, _says(answer))
    assert complaint in str(caught.value)
    assert "case.txt:" in str(caught.value) and "C: A1 NOOP" in str(caught.value)


@pytest.mark.parametrize(("first", "is_grammatical"), [("* ENABLED UTF8=ACCEPT", True), ("* ENABLED X", False)])
def test_utf8_is_grammatical_once_it_is_enabled(tmp_path: Path, first: str, is_grammatical: bool) -> None:
    def play(peer: Peer) -> None:
        peer.say(f'* OK hello\r\n{first}\r\n* LIST () "/" "café"\r\n'.encode())

    outcome = nullcontext() if is_grammatical else pytest.raises(AssertionError, match="Ungrammatical")
    with outcome:
        _run(tmp_path, f"# reason\n!nologin\nS: * OK hello\nS: {first}\nS: * LIST <<*>>\n", play)


@pytest.mark.parametrize(
    "text",
    [
        "C: no reason",
        "# r\nX: what",
        "# r\n!what",
        "# r\n!nologin\nS?{\nS: x",
        "# r\nS?: x",
        "# r\n!nologin\nS: {1}\nSL: a",
    ],
)
def test_files_that_are_no_transcripts(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError):
        _run(tmp_path, text, lambda peer: None)


# SMTP and LMTP


def _smtp(peer: Peer) -> None:
    peer.say(b"220 mx.example ESMTP\r\n")
    peer.hear(b"EHLO client.example\r\n")
    peer.say(b"250-mx.example\r\n250-PIPELINING\r\n250 SIZE 1000\r\n")
    peer.hear(b"MAIL FROM:<a@example.net> SIZE=7\r\n")
    peer.say(b"250 2.1.0 go on\r\n")
    peer.hear(b"RCPT TO:<b@example.org>\r\n")
    peer.say(b"550-5.1.1 nobody here\r\n550 5.1.1 has this name\r\n")
    peer.hear(b"BDAT 7 LAST\r\n.\r\nx\0\xff\n")
    peer.say(b"503 5.5.1 go away\r\n")
    peer.hear(b"QUIT\r\n")
    peer.say(b"221 2.0.0 mx.example\r\n")


_SMTP = r"""# RFC 5321 section 4.2.1: a reply of several lines is one response.
C: MAIL FROM:<a@example.net> SIZE=7
S: 250 2.1.0 <<word:[a-z]+>> on
C: RCPT TO:<b@example.org>
S: 550-5.1.1 nobody here
S: 550 5.1.1 <<*>>
S!: 250 <<*>>
C: BDAT {CL} LAST
CL: .\r\nx\x00\xff\n
S: 503 5.5.1 <<word>> <<*>>
C: QUIT
S: 221 <<*>>
S: <<close>>
"""


def test_a_transcript_of_smtp(tmp_path: Path) -> None:
    _run(tmp_path, _SMTP, _smtp, folder="smtp")


def _lmtp(peer: Peer) -> None:
    peer.say(b"220 mx.example LMTP\r\n")
    peer.hear(b"LHLO client.example\r\n")
    peer.say(b"250 mx.example\r\n")
    peer.hear(b"DATA\r\n")
    peer.say(b"354 go on\r\n")
    peer.hear(b"Subject: x\r\n\r\n..\r\n.\r\n")
    peer.say(b"250 2.0.0 for a\r\n452-4.2.2 b is\r\n452 4.2.2 full\r\n250 2.0.0 for c\r\n")


_LMTP = """# RFC 2033 section 4.2: one reply for each recipient that was accepted.
C: DATA
S: 354 <<*>>
C: Subject: x
C:
C: ..
C: .
S: 250 2.0.0 <<*>>
S: 452-4.2.2 <<*>>
S: 452 4.2.2 <<*>>
S: 250 2.0.0 <<*>>
"""


def test_a_transcript_of_lmtp(tmp_path: Path) -> None:
    _run(tmp_path, _LMTP, _lmtp, folder="lmtp")


def test_smtp_logs_in_where_the_transcript_asks_for_it(tmp_path: Path) -> None:
    def play(peer: Peer) -> None:
        peer.say(b"220 mx.example ESMTP\r\n")
        peer.hear(b"EHLO client.example\r\n")
        peer.say(b"250-mx.example\r\n250 AUTH PLAIN\r\n")
        peer.hear(b"AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=\r\n")
        peer.say(b"235 2.7.0 welcome\r\n")
        peer.hear(b"NOOP\r\n")
        peer.say(b"250 2.0.0 fine\r\n")

    _run(tmp_path, "# reason\n!login\nC: NOOP\nS: 250 <<*>>\n", play, folder="smtp")


@pytest.mark.parametrize(
    ("greeting", "script", "answer", "complaint"),
    [
        ("220 mx", "C: NOOP\nS: 250 <<*>>", b"250-a\r\n250 b\r\n", "expected: S: 250 <<*>>\n  received: 250-a\n250 b"),
        ("220 mx", "C: NOOP\nS: 250-a\nS: 250 b", b"250 a\r\n", "received: 250 a"),
        ("220 mx", "C: NOOP\nS*: 250 b", b"250 a\r\n250 b\r\n", "received: 250 a"),
        ("220 mx", "C: NOOP\nS: 250-a\nS: 251 b", b"250-a\r\n251 b\r\n", "Ungrammatical"),
        ("220 mx", "C: NOOP\nS: 250 a", b"250-a\r\n250", "Closed"),
        ("554 mx", "C: NOOP\nS: 250 a", b"", "not a greeting"),
    ],
)
def test_transcripts_of_smtp_complain(
    tmp_path: Path, greeting: str, script: str, answer: bytes, complaint: str
) -> None:
    def play(peer: Peer) -> None:
        peer.say(greeting.encode() + b"\r\n")
        if peer.line():
            peer.say(b"250 mx\r\n")
            peer.line()
            peer.say(answer)

    with pytest.raises(AssertionError) as caught:
        _run(tmp_path, f"# reason\n{script}\n", play, folder="smtp")
    assert complaint in str(caught.value) and "case.txt:" in str(caught.value)


def test_the_greeting_belongs_to_the_transcript_after_nologin(tmp_path: Path) -> None:
    def play(peer: Peer) -> None:
        peer.say(b"554 5.3.2 not today\r\n")

    _run(tmp_path, "# reason\n!nologin\nS: 554 5.3.2 <<*>>\nS: <<close>>\n", play, folder="smtp")


def test_a_reply_that_the_transcript_does_not_continue(tmp_path: Path) -> None:
    text = "# reason\n!nologin\nS: 250-a\nC: NOOP\n"
    with pytest.raises(ValueError, match=r"case.txt:3: an S: line must continue"):
        _run(tmp_path, text, lambda peer: None, folder="smtp")


def test_append_is_no_directive_of_smtp(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown directive !append"):
        _run(tmp_path, '# reason\n!append INBOX "x"\n', lambda peer: None, folder="smtp")


def test_whoever_runs_a_transcript_may_give_its_dialect(tmp_path: Path) -> None:
    path = tmp_path / "case.txt"
    path.write_text(_LMTP)
    with serving(_lmtp) as connect:
        transcript.run(path, connect, lambda name: None, dialect=LMTP)


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("tests/imap/transcripts/noop.txt", IMAP),
        ("tests/smtp/transcripts/data.txt", SMTP),
        ("tests/smtp/transcripts/lmtp/data.txt", LMTP),
    ],
)
def test_folders_name_the_dialect(path: str, dialect: Dialect) -> None:
    assert dialect_of(Path(path)) is dialect and DIALECTS[dialect.name] is dialect


def test_other_folders_do_not() -> None:
    with pytest.raises(ValueError, match="no folder above it is named after a dialect: imap, smtp, lmtp"):
        dialect_of(Path("/nowhere/transcripts/data.txt"))


@pytest.mark.parametrize(
    "reply",
    [
        b"250\r\n",
        b"250 OK\r\n",
        b"250 2.0.0 OK\r\n",
        b"250-\r\n250-a\tb\r\n250\r\n",
        b"334 \r\n",
        b"354 end with .\r\n",
        b"550-5.1.1 a\r\n550 5.1.1\r\n",
        b"250 " + b"x" * 506 + b"\r\n",
    ],
)
def test_replies(reply: bytes) -> None:
    check_reply(reply)
    assert list(frames(reply + b"220 x\r\n", SmtpFraming())) == [reply, b"220 x\r\n"]


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b"25 OK\r\n", "a reply line at octet 0"),
        (b"150 OK\r\n", "a reply line"),
        (b"260 OK\r\n", "a reply line"),
        (b"250 \r\n", "a reply line"),
        (b"250OK\r\n", "a reply line"),
        (b"250 caf\xc3\xa9\r\n", "a reply line"),
        (b"250 a\rb\r\n", "a reply line"),
        (b"250 " + b"x" * 507 + b"\r\n", "a reply line"),
        (b"250-a\r\n251 b\r\n", "the same code on every line at octet 7"),
        (b"550-5.1.1 a\r\n550 5.1.2 b\r\n", "the same enhanced status code"),
        (b"550-5.1.1 a\r\n550 b\r\n", "the same enhanced status code"),
        (b"550 4.1.1 a\r\n", "of the reply's class"),
        (b"354 2.0.0 a\r\n", "of the reply's class"),
    ],
)
def test_what_is_no_reply(reply: bytes, complaint: str) -> None:
    with pytest.raises(Ungrammatical, match=complaint):
        check_reply(reply)


@pytest.mark.parametrize(
    ("framing", "data"),
    [
        (ImapFraming, b"* 1 FETCH (BODY[] {4}\r\na\r\nb BODY[1] ~{0}\r\n)\r\nA1 OK done {3}\r\n"),
        (SmtpFraming, b"250-a\r\n250-b\r\n250 c\r\nnonsense\r\n250 d\r\n"),
    ],
)
def test_frames_octet_by_octet(framing: type[Framing], data: bytes) -> None:
    """They end where they do when all the octets come at once."""
    cut, buffer, found = framing(), bytearray(), list[bytes]()
    for octet in data:
        buffer.append(octet)
        if (end := cut.end(buffer)) is not None:
            found.append(bytes(buffer[:end]))
            del buffer[:end]
    assert found == list(frames(data, framing())) and b"".join(found) == data
