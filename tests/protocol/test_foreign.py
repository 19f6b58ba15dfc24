"""Each service recognises the clients of the others, and never its own."""

from __future__ import annotations

import pytest

from crymapd.imap.state import COMMANDS
from crymapd.protocol import foreign
from crymapd.protocol.foreign import Protocol, recognize

LINES: dict[Protocol, tuple[bytes, ...]] = {
    Protocol.HTTP: (
        b"GET / HTTP/1.1", b"get /", b"POST /A%20LOGIN HTTP/1.1", b"PRI * HTTP/2.0", b"BREW /pot HTTP/1.1",
        b"A1 / HTTP/1.1", b"BREW   /pot", b"GET",
    ),
    Protocol.SMTP: (b"EHLO x", b"ehlo [127.0.0.1]", b"HELO x", b"LHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>"),
    Protocol.POP3: (b"CAPA", b"USER alice", b"PASS secret", b"APOP alice 0123", b"STLS"),
    Protocol.IMAP: (b"A1 LOGIN alice secret", b"a capability", b"1  NOOP", b". UID FETCH 1 FLAGS", b"t APPEND x {3}"),
}  # fmt: skip
MAIL = (Protocol.SMTP, Protocol.POP3)


@pytest.mark.parametrize("spoken", Protocol)
def test_every_other_service_recognises_a_line(spoken: Protocol) -> None:
    for line in LINES[spoken]:
        for service in set(Protocol) - {spoken}:
            assert recognize(line, [other for other in Protocol if other is not service]) is spoken, (line, service)


@pytest.mark.parametrize("spoken", Protocol)
def test_no_service_takes_its_own_client_for_another(spoken: Protocol) -> None:
    for line in LINES[spoken]:
        assert recognize(line, set(Protocol) - {spoken}) is None, line


@pytest.mark.parametrize("line", [b"", b" ", b"/", b"\x16\x03\x01", b"(GET /", b" GET /", b"GETS ELSE", b"A1 GET"])
def test_a_line_of_no_protocol(line: bytes) -> None:
    assert recognize(line, MAIL) is None
    assert recognize(line, [Protocol.POP3, Protocol.IMAP]) is None


def test_what_two_protocols_share_belongs_to_the_first_that_is_suspected() -> None:
    assert recognize(b"QUIT", MAIL) is Protocol.SMTP
    assert recognize(b"QUIT", reversed(MAIL)) is Protocol.POP3
    assert recognize(b"QUIT", [Protocol.HTTP, Protocol.IMAP]) is None


def test_the_verbs_of_imap_are_our_commands() -> None:
    assert foreign._VERBS[Protocol.IMAP] - {b"UID"} <= COMMANDS.keys()
