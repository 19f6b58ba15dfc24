"""Passwords as people type them and as keys are made of them: one function prepares them, wherever they come from."""

from __future__ import annotations

import unicodedata

MAX_PASSWORD_BYTES = 1024


class UnusablePassword(ValueError):
    """A text that cannot be a password; the message says why and never what it was."""


def prepared(password: str) -> bytes:
    """Return the octets of a password, the same for all its spellings (RFC 8265 section 4.2, OpaqueString).

    Every space is the ASCII one, composed and decomposed letters are the same, and capitals stay capitals. Code points
    that this Python does not know are taken, because another Python may know them.

    Raises:
        UnusablePassword: it is empty or too long, or has control characters or what is no character.
    """
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
    composed = unicodedata.normalize("NFC", spaced)
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in composed):
        raise UnusablePassword("the password has control characters, or octets that are no UTF-8")
    octets = composed.encode()
    if not octets:
        raise UnusablePassword("the password is empty")
    if len(octets) > MAX_PASSWORD_BYTES:
        raise UnusablePassword(f"the password is longer than {MAX_PASSWORD_BYTES} octets")
    return octets
