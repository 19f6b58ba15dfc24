"""Capabilities, before and after login. Nothing is announced that a transcript does not prove."""

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


def before_login() -> str:
    """The list of the greeting, as it goes over the wire."""
    return " ".join(BEFORE_LOGIN)


def after_login(limit: int, hidden: Collection[str]) -> str:
    """The list of an account, without what it hides from its clients; `limit` is the largest message."""
    avoided = {name.upper() for name in hidden} - {"IMAP4REV1"}  # without which it would be no IMAP server
    names = (name.format(limit=limit) for name in AFTER_LOGIN)
    return " ".join(name for name in names if not avoided & {name.upper(), name.upper().partition("=")[0]})


def greeting() -> bytes:
    """The first line of a connection (RFC 9051 section 7.1.4)."""
    return b"* OK [CAPABILITY %b] crymapd ready\r\n" % before_login().encode()
