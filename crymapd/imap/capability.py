"""Capabilities, before and after login. Nothing is announced that a transcript does not prove."""

from __future__ import annotations

BEFORE_LOGIN = ("IMAP4rev1", "AUTH=PLAIN", "AUTH=LOGIN", "ENABLE", "ID", "LITERAL+", "SASL-IR")
AFTER_LOGIN = (
    "IMAP4rev1",
    "CHILDREN",
    "CONDSTORE",
    "CREATE-SPECIAL-USE",
    "ENABLE",
    "ID",
    "IDLE",
    "LITERAL+",
    "MOVE",
    "MULTIAPPEND",
    "NAMESPACE",
    "SASL-IR",
    "SPECIAL-USE",
    "UIDPLUS",
    "UNSELECT",
)
ENABLEABLE = frozenset((b"CONDSTORE",))


def text(*, authenticated: bool) -> str:
    """The list as it goes over the wire."""
    return " ".join(AFTER_LOGIN if authenticated else BEFORE_LOGIN)
