"""The capabilities before and after login. Each of them is proved by a transcript in `tests/imap/transcripts`."""

from __future__ import annotations

from collections.abc import Collection

BEFORE_LOGIN = ("IMAP4rev1", "IMAP4rev2", "AUTH=PLAIN", "AUTH=LOGIN", "ENABLE", "ID", "LITERAL+", "SASL-IR")
AFTER_LOGIN = (
    "IMAP4rev1",
    "IMAP4rev2",
    "APPENDLIMIT={limit}",
    "BINARY",
    "CHILDREN",
    "COMPRESS=DEFLATE",
    "CONDSTORE",
    "CREATE-SPECIAL-USE",
    "ENABLE",
    "ESEARCH",
    "ESORT",
    "ID",
    "IDLE",
    "INPROGRESS",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LITERAL+",
    "MOVE",
    "MULTIAPPEND",
    "NAMESPACE",
    "OBJECTID",
    "PARTIAL",
    "PREVIEW",
    "QRESYNC",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "REPLACE",
    "SASL-IR",
    "SAVEDATE",
    "SEARCHRES",
    "SORT",
    "SORT=DISPLAY",
    "SPECIAL-USE",
    "STATUS=SIZE",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "UIDPLUS",
    "UNSELECT",
    "UTF8=ACCEPT",
    "WITHIN",
    "XLIST",
    "XVANQUISH",
    "XYZZY",
)
ENABLEABLE = {
    b"CONDSTORE": "CONDSTORE",
    b"QRESYNC": "QRESYNC",
    b"IMAP4REV2": "IMAP4rev2",
    b"UTF8=ACCEPT": "UTF8=ACCEPT",
}
"""What ENABLE can enable: the name in capitals, and as we write it."""


def before_login() -> str:
    """Return the capabilities before login, separated by spaces."""
    return " ".join(BEFORE_LOGIN)


def after_login(limit: int, hidden: Collection[str]) -> str:
    """Return the capabilities after login, separated by spaces.

    Args:
        limit: the octets of the largest message that APPEND takes.
        hidden: capabilities to leave out; a name such as QUOTA stands for QUOTA=RES-STORAGE as well.
    """
    left_out = {name.upper() for name in hidden} - {"IMAP4REV1"}  # an IMAP server must announce IMAP4rev1
    names = (name.format(limit=limit) for name in AFTER_LOGIN)
    return " ".join(name for name in names if not left_out & {name.upper(), name.upper().partition("=")[0]})


def greeting() -> bytes:
    """Write the greeting, the first line of a connection (RFC 9051 section 7.1.1)."""
    return b"* OK [CAPABILITY %b] crymapd ready\r\n" % before_login().encode()


def last_words() -> bytes:
    """The last line of a connection on which the program crashed."""
    return b"* BYE [SERVERBUG] internal error; the server's log has it\r\n"


def farewell() -> bytes:
    """The last line of a connection that ends because the server is stopped."""
    return b"* BYE the server must end this connection; try again later\r\n"
