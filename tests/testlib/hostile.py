"""Mail that no honest program sends: what a server must store, serve and survive."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator

from tests.testlib.building import base64_lines
from tests.testlib.words import WORDS

_HEAD = b"From: eve@example.net\r\nTo: alice@example.org\r\nSubject: hostile\r\n"
_MIXED = _HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
_PART = b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"


def hostile(count: int, seed: int = 1) -> Iterator[bytes]:
    """Messages of every kind in turn, deterministic; from nothing at all to some 200 KB."""
    for index in range(count):
        yield KINDS[index % len(KINDS)](random.Random(f"hostile {seed} {index}"))


def _words(rng: random.Random, count: int) -> bytes:
    return " ".join(rng.choices(WORDS, k=count)).encode()


def _nothing(rng: random.Random) -> bytes:
    return b""


def _no_headers(rng: random.Random) -> bytes:
    return b"\r\n" + _words(rng, 20) + b"\r\n"


def _only_blank(rng: random.Random) -> bytes:
    return b"\r\n" * rng.randint(1, 3)


def _headers_only(rng: random.Random) -> bytes:
    return _HEAD + b"X-Last: " + _words(rng, 2) + rng.choice((b"", b"\r\n", b"\r\n\r"))


def _bare_lf(rng: random.Random) -> bytes:
    return (_HEAD + b"\r\n" + _words(rng, 9) + b"\r\n" + _words(rng, 9) + b"\r\n").replace(b"\r\n", b"\n")


def _mixed_ends(rng: random.Random) -> bytes:
    lines = [_words(rng, 5) for _ in range(20)]
    return _HEAD + b"\r\n" + b"".join(line + rng.choice((b"\n", b"\r", b"\r\n", b"\n\r", b"\r\r\n")) for line in lines)


def _header_ends(rng: random.Random) -> bytes:
    return b"From: a@example.net\nTo: b@example.org\r\nSubject: one\rX-Hidden: two\n\r\n" + _words(rng, 9)


def _nuls(rng: random.Random) -> bytes:
    octets = bytearray(_HEAD + b"\r\n" + _words(rng, 40))
    for _ in range(12):
        octets[rng.randrange(len(octets))] = 0
    return bytes(octets)


def _no_boundary(rng: random.Random) -> bytes:
    parameter = rng.choice((b"", b"; boundary", b"; boundary=", b'; boundary=""', b"; boundary=" + b"x" * 200))
    return _HEAD + b"Content-Type: multipart/mixed" + parameter + b"\r\n\r\n" + _PART + b"--b--\r\n"


def _never_closed(rng: random.Random) -> bytes:
    return _MIXED + _PART * rng.randint(1, 4) + rng.choice((b"", b"--b", b"--b-", b"--b\r\n"))


def _never_opened(rng: random.Random) -> bytes:
    return _MIXED + _words(rng, 30) + b"\r\n"


def _same_boundary(rng: random.Random) -> bytes:
    inner = b'--b\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    return _MIXED + inner * rng.randint(1, 5) + _PART + b"--b--\r\n" + _PART + b"--b--\r\n"


def _prefix_boundary(rng: random.Random) -> bytes:
    inner = b'--b\r\nContent-Type: multipart/mixed; boundary="bb"\r\n\r\n' + _PART.replace(b"--b", b"--bb")
    return _MIXED + inner + b"--bb--\r\n--b--\r\n"


def _deep_multipart(rng: random.Random) -> bytes:
    depth = rng.choice((60, 300, 1500))
    opened = [f'Content-Type: multipart/mixed; boundary="d{i}"\r\n\r\n--d{i}\r\n'.encode() for i in range(depth)]
    return _HEAD + b"".join(opened) + b"\r\nat the bottom\r\n"


def _deep_messages(rng: random.Random) -> bytes:
    return (_HEAD + b"Content-Type: message/rfc822\r\n\r\n") * rng.choice((60, 300, 1500)) + b"Subject: bottom\r\n\r\n"


def _many_parts(rng: random.Random) -> bytes:
    return _MIXED + b"--b\r\n\r\n\r\n" * rng.choice((1_000, 10_000)) + b"--b--\r\n"


def _many_headers(rng: random.Random) -> bytes:
    return _HEAD + b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(5_000)) + b"\r\nbody\r\n"


def _huge_header(rng: random.Random) -> bytes:
    fold = rng.choice((b"", b"\r\n "))
    return _HEAD + b"X-Huge: " + (b"y" * 70 + fold) * 2_000 + b"\r\n\r\nbody\r\n"


def _no_colons(rng: random.Random) -> bytes:
    return b"this is no header\r\n: nor this\r\n folded onto nothing\r\n" + _HEAD + b"\xff\xfe: eight\r\n\r\nbody\r\n"


def _broken_addresses(rng: random.Random) -> bytes:
    broken = (
        b'"never closed <a@example.net>', b"a@b@c@example.net", b"<<<>>>", b"(((((", b"group: a, b; c: d",
        b"@", b",,,",
        b"\\", b"<a@example.net", b"=?utf-8?b?!!!!?= <a@example.net>", b'"' + b"\\" * 999, b"(" * 5_000,
        b"a:" * 3_000,
    )  # fmt: skip
    return b"".join(b"%s: %s\r\n" % (n, rng.choice(broken)) for n in (b"From", b"To", b"Cc", b"Sender")) + b"\r\n"


def _broken_words(rng: random.Random) -> bytes:
    broken = (
        b"=?",
        b"=?=?=?",
        b"=?utf-8?q?=ZZ?=",
        b"=?utf-8?b?####?=",
        b"=?utf-7?q?+AGE-?=",
        b"=?utf-7?q?+2AA-?=",
        b"=??q?x?=",
        b"=?utf-8?z?x?=",
    )
    return _HEAD + b"".join(b"Subject: %s\r\n" % (word * rng.randint(1, 500)) for word in broken) + b"\r\n"


def _broken_types(rng: random.Random) -> bytes:
    broken = (
        b"", b"/", b"text", b"text/", b"/plain", b"text/plain;;;;", b'text/plain; charset="',
        b"text/plain; charset=\xff",
        b"multipart/mixed; boundary*0=b; boundary*99=c", b"message/rfc822",
        b"text/plain; " + b"a=b; " * 3_000,
        b"text/plain; name*=utf-8'", b"a" * 3_000 + b"/b", b'text/plain; x="\r\n\r\n"',
    )  # fmt: skip
    encoding = rng.choice((b"", b"x-uuencode", b"base64 base64", b"=?", b"8bit;", b"\0"))
    return _HEAD + b"Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\nx" % (
        rng.choice(broken),
        encoding,
    )


def _odd_charsets(rng: random.Random) -> bytes:
    charset = rng.choice((b"utf-7", b"utf-16", b"utf-32-le", b"iso-2022-jp", b"hz", b"gb18030", b"big5", b"cp1255"))
    octets = rng.choice((b"+2AA- hello +3AA-", b"\xd8\x00\xd8\x00", b"\x1b$B\xff~{\x80", rng.randbytes(60)))
    word = b"=?%s?b?%s?=" % (charset, base64.b64encode(octets))
    head = b"From: %s <a@example.net>\r\nSubject: %s\r\n" % (word, word)
    return head + b'Content-Type: text/plain; charset=%s; name="%s"\r\n\r\n%s\r\n' % (charset, word, octets)


def _broken_dates(rng: random.Random) -> bytes:
    dates = (
        b"never",
        b"99 Foo 99999 99:99:99 +9999",
        b"",
        b"Mon, 1 Jan 1 00:00:00 +0000",
        b"31 Feb 2026 24:61:61 -0000",
    )
    return _HEAD + b"Date: %s\r\nDate: %s\r\n\r\nbody\r\n" % (rng.choice(dates), rng.choice(dates))


def _encoded_multipart(rng: random.Random) -> bytes:
    head = _HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    return head + base64_lines(_PART + b"--b--\r\n")


def _bad_encodings(rng: random.Random) -> bytes:
    head = _HEAD + b"Content-Transfer-Encoding: "
    base64 = head + b"base64\r\n\r\n" + b"=" * rng.randint(1, 9) + b"QUJD" * 50 + b"\xff\0A"
    return rng.choice((base64, head + b"quoted-printable\r\n\r\n=\r\n==3D=3=XY=\xff=0\r\n="))


def _long_line(rng: random.Random) -> bytes:
    return _HEAD + b"\r\n" + b"z" * 200_000


def _imap_in_mail(rng: random.Random) -> bytes:
    return _HEAD + b"\r\n)\r\n* BYE gone\r\nA001 OK done\r\n{100}\r\n~{5+}\r\n+ go on\r\n"


def _garbage(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((1, 10, 1_000, 50_000)))


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    _nothing, _no_headers, _only_blank, _headers_only, _bare_lf, _mixed_ends, _header_ends, _nuls,
    _no_boundary,
    _never_closed, _never_opened, _same_boundary, _prefix_boundary, _deep_multipart, _deep_messages,
    _many_parts,
    _many_headers, _huge_header, _no_colons, _broken_addresses, _broken_words, _broken_types, _odd_charsets, _broken_dates,
    _encoded_multipart, _bad_encodings, _long_line, _imap_in_mail, _garbage,
)  # fmt: skip
