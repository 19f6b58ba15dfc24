"""Encoded words (RFC 2047): header text that names its charset."""

from __future__ import annotations

import binascii
import re

from crymapd.mime.charsets import charset, decode

# Careless senders put raw eight-bit octets into words; they are decoded in the word's charset.
_WORD = re.compile(rb"=\?([!-<>@-~]{1,64}?)(?:\*[A-Za-z0-9-]*)?\?([QqBb])\?([ !->@-~\x80-\xff]*?)\?=")
_BETWEEN = re.compile(rb"(\?=)[ \t]+(?==\?)")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
MAX_TEXT = 1 << 20


def decode_words(value: bytes) -> str:
    """Decode an unstructured value and its encoded words; white space between two of them is dropped."""
    value = value[:MAX_TEXT]
    if b"=?" not in value:
        return decode(value, None)
    text = _BETWEEN.sub(rb"\1", value)
    pieces: list[str] = []
    position = 0
    label, octets = b"", b""  # neighbouring words of one charset may share a character
    for match in _WORD.finditer(text):
        word = _octets(match)
        if word is None:
            continue
        if match.start() > position or not _same(label, match[1]):
            pieces.append(decode(octets, label))
            pieces.append(decode(text[position : match.start()], None))
            octets = b""
        label, octets = match[1], octets + word
        position = match.end()
    pieces.append(decode(octets, label))
    pieces.append(decode(text[position:], None))
    return "".join(pieces)


def _same(one: bytes, other: bytes) -> bool:
    """Tell whether two labels mean the same charset."""
    return one == other or charset(one) == charset(other)


def _octets(match: re.Match[bytes]) -> bytes | None:
    """Return the octets that a word encodes, or None if it is no valid base64."""
    text = match[3]
    if match[2] in b"Qq":
        return _HEX.sub(lambda m: bytes((int(m[1], 16),)), text.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None
