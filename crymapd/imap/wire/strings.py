"""Strings of IMAP's grammar (RFC 9051 section 9), for the parsed values that are kept ready for the wire.

Eight-bit octets in a quoted string would be ungrammatical for a client that did not enable UTF-8, so
text that holds them is written as encoded words, and whatever cannot be quoted becomes a literal.
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
codecs.lookup("punycode")  # used by IDNA; loaded now, as a confined worker cannot
_WORD_OCTETS = 42


class Strings:
    """How strings are written for one kind of client."""

    def __init__(self, *, utf8: bool) -> None:
        self._utf8 = utf8

    def nstring(self, value: bytes | None) -> bytes:
        """NIL, a quoted string, or a literal; control characters and stray octets are replaced."""
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
        """A parameter and its value; for who takes no UTF-8 in the form of RFC 2231 section 4, losing nothing."""
        if not (self._utf8 or value.isascii() or b"*" in name):
            name, value = name + b"*", b"utf-8''" + percent(decode(value, None).encode("utf-8", "replace"))
        return self.nstring(name) + b" " + self.nstring(value)

    def host(self, value: bytes | None) -> bytes:
        """A domain: for who takes no UTF-8 in the form of RFC 5890, so that it stays what it is."""
        if value is not None and not self._utf8 and not value.isascii() and len(value) <= _MAX_HOST:
            with suppress(UnicodeError):
                value = encodings.idna.Codec().encode(value.decode("utf-8"))[0]
        return self.nstring(value)


ASCII, UTF8 = Strings(utf8=False), Strings(utf8=True)
"""For rev1 clients; for those that enabled UTF8=ACCEPT (RFC 6855) or IMAP4rev2."""


def encoded_words(value: str) -> bytes:
    """UTF-8 base64 encoded words of at most 75 characters."""
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
