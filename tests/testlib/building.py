"""Bricks for mail in the corpus. Nothing here uses `email.generator`: we decide about every octet."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entity:
    """Header lines without their CRLF (folds inside have theirs), and the body with CRLF."""

    headers: tuple[bytes, ...]
    body: bytes

    def octets(self) -> bytes:
        return b"".join(line + b"\r\n" for line in self.headers) + b"\r\n" + self.body

    def under(self, *headers: bytes) -> Entity:
        """With these header lines before its own."""
        return Entity((*headers, *self.headers), self.body)


def crlf(text: str, charset: str = "utf-8") -> bytes:
    return text.replace("\n", "\r\n").encode(charset)


def text(content: str, *, subtype: str = "plain", charset: str = "utf-8", encoding: str = "8bit") -> Entity:
    """A text part; `encoding` is any of MIME's."""
    octets = content.encode(charset)
    if encoding == "base64":
        body = base64_lines(octets.replace(b"\n", b"\r\n"))
    elif encoding == "quoted-printable":
        body = binascii.b2a_qp(octets, istext=True).replace(b"\n", b"\r\n")
    else:
        body = octets.replace(b"\n", b"\r\n")
    type_ = f"Content-Type: text/{subtype}; charset={charset}".encode()
    return Entity((type_, b"Content-Transfer-Encoding: " + encoding.encode()), body)


def multipart(
    subtype: str, parts: Sequence[Entity], boundary: str, *, preamble: bytes = b"", epilogue: bytes = b""
) -> Entity:
    """A multipart with its closing delimiter. The boundary must not occur in the parts."""
    delimiter = b"--" + boundary.encode()
    body = b"".join(delimiter + b"\r\n" + part.octets() + b"\r\n" for part in parts)
    type_ = f'Content-Type: multipart/{subtype}; boundary="{boundary}"'.encode()
    return Entity((type_,), preamble + body + delimiter + b"--\r\n" + epilogue)


def message_part(message: bytes) -> Entity:
    return Entity((b"Content-Type: message/rfc822", b"Content-Disposition: inline"), message)


def attachment(name: str, type_: str, data: bytes, width: int = 76) -> Entity:
    headers = (
        f'Content-Type: {type_}; name="{name}"'.encode(),
        b"Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment; filename="{name}"'.encode(),
    )
    return Entity(headers, base64_lines(data, width))


def base64_lines(data: bytes, width: int = 76) -> bytes:
    encoded = base64.b64encode(data)
    return b"".join(encoded[i : i + width] + b"\r\n" for i in range(0, len(encoded), width))


def encoded_words(content: str, charset: str = "utf-8", encoding: str = "b") -> bytes:
    """RFC 2047, folded so that no word is longer than 75 characters and none cuts a character."""
    words, piece = [], ""
    for character in content:
        if len(_encoded_word(piece + character, charset, encoding)) > 75:
            words.append(_encoded_word(piece, charset, encoding))
            piece = ""
        piece += character
    return b"\r\n ".join([*words, _encoded_word(piece, charset, encoding)])


def _encoded_word(content: str, charset: str, encoding: str) -> bytes:
    octets = content.encode(charset)
    encoded = base64.b64encode(octets) if encoding == "b" else b"".join(_q(octet) for octet in octets)
    return b"=?" + charset.encode() + b"?" + encoding.encode() + b"?" + encoded + b"?="


def _q(octet: int) -> bytes:
    character = bytes([octet])
    if character == b" ":
        return b"_"
    return character if character.isalnum() else b"=%02X" % octet


def png(width: int, height: int, rows: bytes) -> bytes:
    """A grey picture, one octet per pixel. Stored, not deflated: the octets do not depend on a zlib."""
    raw = b"".join(b"\0" + rows[y * width : (y + 1) * width] for y in range(height))
    assert len(raw) < 65536
    size = len(raw).to_bytes(2, "little")
    stored = b"\x78\x01\x01" + size + bytes(255 - octet for octet in size) + raw
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    data = stored + zlib.adler32(raw).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
