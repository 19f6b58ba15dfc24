"""Writes strings of IMAP's grammar (RFC 9051 section 9) in the answers that are prepared for each message.

A client that has not enabled UTF-8 must not get eight-bit octets in a quoted string, so text that holds them is written
as encoded words.
"""

from __future__ import annotations

import base64
import codecs
import encodings.idna
import re
from contextlib import suppress

from crymapd.mime.charsets import decode
from crymapd.mime.content import percent
from crymapd.mime.encoded_words import decode_words

_UNQUOTABLE = re.compile(rb'[\x00-\x1f\x7f-\xff"\\]')
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_MAX_QUOTED = 1000
_MAX_HOST = 255
codecs.lookup("punycode")  # IDNA uses it, and a confined worker could not load it later
_WORD_OCTETS = 42


class Strings:
    """Writes strings for one kind of client: with UTF-8 or without."""

    def __init__(self, *, utf8: bool) -> None:
        self._utf8 = utf8

    def nstring(self, value: bytes | None) -> bytes:
        """Write NIL, a quoted string or a literal; control characters and unreadable octets are replaced."""
        if value is None:
            return b"NIL"
        if len(value) <= _MAX_QUOTED and not _UNQUOTABLE.search(value):
            return b'"' + value + b'"'
        clean = _CONTROL.sub(b" ", value)
        if not clean.isascii():
            clean = decode(clean, None).encode("utf-8", "replace") if self._utf8 else _NOT_ASCII.sub(b"?", clean)
        if len(clean) <= _MAX_QUOTED:
            return b'"' + clean.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        return b"{%d}\r\n%b" % (len(clean), clean)

    def text(self, value: bytes | None) -> bytes:
        """Write unstructured text: as it came if it is ASCII, else so that the client reads the same.

        Encoded words among eight-bit octets are decoded first. Encoded once more (RFC 2047), or beside octets that
        became UTF-8, they would say something else.
        """
        if value is None or value.isascii():
            return self.nstring(value)
        text = decode_words(value)
        return self.nstring(text.encode("utf-8", "replace") if self._utf8 else encoded_words(text))

    def parameter(self, name: bytes, value: bytes) -> bytes:
        """Write a parameter and its value, for a client without UTF-8 in the form of RFC 2231 section 4."""
        if not (self._utf8 or value.isascii() or b"*" in name):
            name, value = name + b"*", b"utf-8''" + percent(decode(value, None).encode("utf-8", "replace"))
        return self.nstring(name) + b" " + self.nstring(value)

    def host(self, value: bytes | None) -> bytes:
        """Write a domain, for a client without UTF-8 as the A-labels of RFC 5890, which still name the same domain."""
        if value is not None and not self._utf8 and not value.isascii() and len(value) <= _MAX_HOST:
            with suppress(UnicodeError):
                value = encodings.idna.Codec().encode(value.decode("utf-8"))[0]
        return self.nstring(value)


ASCII, UTF8 = Strings(utf8=False), Strings(utf8=True)
"""UTF8 is for clients that have enabled UTF8=ACCEPT (RFC 6855) or IMAP4rev2; ASCII is for all others."""


def encoded_words(value: str) -> bytes:
    """Write text as encoded words (RFC 2047) in UTF-8 and base64, of at most 75 characters each."""
    words: list[bytes] = []
    chunk = b""
    for character in value:
        octets = character.encode("utf-8", "replace")
        if len(chunk) + len(octets) > _WORD_OCTETS:
            words.append(chunk)
            chunk = b""
        chunk += octets
    words.append(chunk)
    return b" ".join(b"=?utf-8?B?" + base64.b64encode(word) + b"?=" for word in words)


def parenthesized(items: list[bytes]) -> bytes:
    return b"(" + b" ".join(items) + b")"
