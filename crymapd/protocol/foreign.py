"""Recognising a client that speaks another protocol, by one of its lines.

A browser can be made to send a request to a mail server in its user's name (the ALPACA attack), and what it sends may
hold lines that look like commands. A service therefore asks about a line that it did not understand, and ends the
connection when the line belongs to another protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto


class Protocol(Enum):
    """The protocols whose clients may connect to the wrong service."""

    HTTP = auto()
    SMTP = auto()  # and LMTP
    POP3 = auto()
    IMAP = auto()


_VERBS = {
    Protocol.HTTP: frozenset(
        (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI")
    ),
    Protocol.SMTP: frozenset((b"EHLO", b"HELO", b"LHLO", b"AUTH", b"MAIL", b"RCPT", b"DATA", b"RSET", b"QUIT")),
    Protocol.POP3: frozenset((b"USER", b"PASS", b"APOP", b"AUTH", b"CAPA", b"STLS", b"QUIT")),
    Protocol.IMAP: frozenset(
        (
            *(b"CAPABILITY", b"NOOP", b"LOGOUT", b"ID", b"STARTTLS", b"AUTHENTICATE", b"LOGIN"),
            *(b"ENABLE", b"SELECT", b"EXAMINE", b"CREATE", b"DELETE", b"RENAME", b"SUBSCRIBE", b"UNSUBSCRIBE"),
            *(b"LIST", b"LSUB", b"NAMESPACE", b"STATUS", b"APPEND", b"IDLE", b"COMPRESS"),
            *(b"CLOSE", b"UNSELECT", b"EXPUNGE", b"SEARCH", b"FETCH", b"STORE", b"COPY", b"MOVE", b"UID"),
        )
    ),
}
"""The verbs by which a line is recognised. Those of SMTP and POP3 are the ones a conversation begins or ends with."""


def recognize(line: bytes, suspects: Iterable[Protocol]) -> Protocol | None:
    """The first of the suspected protocols to which a line belongs, or None.

    A line of HTTP, SMTP or POP3 begins with its verb, in IMAP a tag comes before it. A line whose second word is an
    absolute path is taken for HTTP, whatever its method is.

    Args:
        line: the line without its end; its start is enough when it is long.
        suspects: the protocols that the service does not speak itself.
    """
    first, _space, rest = line.upper().partition(b" ")
    second = rest.lstrip(b" ").partition(b" ")[0]
    for protocol in suspects:
        verb = second if protocol is Protocol.IMAP else first
        if verb in _VERBS[protocol] or (protocol is Protocol.HTTP and second.startswith(b"/")):
            return protocol
    return None
