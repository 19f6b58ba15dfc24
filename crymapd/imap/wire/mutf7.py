"""Modified UTF-7 of mailbox names (RFC 3501 section 5.1.3)."""

from __future__ import annotations

import binascii
import re

_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_UNPRINTABLE = re.compile("[^ -~]+|&")


def encode(name: str) -> bytes:
    """Write a mailbox name in ASCII."""
    return _UNPRINTABLE.sub(_shift, name).encode("ascii")


def _shift(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    text = binascii.b2a_base64(match[0].encode("utf-16-be"), newline=False).rstrip(b"=").replace(b"/", b",")
    return f"&{text.decode('ascii')}-"


def decode(octets: bytes) -> str:
    """Read the name of a mailbox as a client sent it.

    A name that is not valid modified UTF-7 is read as it stands: some clients send UTF-8, or a bare `&`.
    """
    try:
        pieces, end = [], 0
        for match in _SHIFTED.finditer(octets):
            pieces.append(octets[end : match.start()].decode("utf-8"))
            pieces.append(_unshift(match[1]))
            end = match.end()
        pieces.append(octets[end:].decode("utf-8"))
        return "".join(pieces)
    except (UnicodeDecodeError, binascii.Error):
        return octets.decode("utf-8", "replace")


def _unshift(text: bytes) -> str:
    if not text:
        return "&"
    padded = text.replace(b",", b"/") + b"=" * (-len(text) % 4)
    return binascii.a2b_base64(padded).decode("utf-16-be")
