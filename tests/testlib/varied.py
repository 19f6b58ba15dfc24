"""Mail as it is in the world: mostly in order, often odd, never the same twice. Deterministic for a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.testlib.building import Entity, attachment, encoded_words, message_part, multipart, text
from tests.testlib.words import NAMES, WORDS

Maker = Callable[[random.Random, int], Entity]

SMALLEST, LARGEST = 300, 300_000
_CHARSETS = (
    "utf-8", "iso-8859-1", "iso-8859-2", "iso-8859-15", "koi8-r", "windows-1251", "windows-1252",
    "iso-2022-jp", "shift_jis", "gb2312", "euc-kr",
)  # fmt: skip
_PHRASES = {
    "iso-8859-2": "Příliš žluťoučký kůň",
    "koi8-r": "Доброе утро, друзья",
    "windows-1251": "Письмо из города",
    "iso-2022-jp": "おはようございます",
    "shift_jis": "お元気ですか",
    "gb2312": "你好朋友",
    "euc-kr": "안녕하세요",
}
_ZONES = ("+0000", "-0800", "+0530", "GMT", "+0200 (CEST)")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def varied(count: int, seed: int = 1) -> Iterator[bytes]:
    """Messages of 300 to 300,000 octets, most of 1 to 20 KB, all with CRLF and a Message-ID of their own.

    The n-th message of a seed is the same whatever the count.
    """
    for index in range(count):
        yield _message(random.Random(f"varied {seed} {index}"), f"{seed}.{index}")


def _message(rng: random.Random, unique: str) -> bytes:
    size = _size(rng)
    entity = _structure(rng)(rng, size)
    headers = _headers(rng, unique) + [b"MIME-Version: 1.0"]
    octets = entity.under(*headers).octets()
    if len(octets) < SMALLEST:
        octets += _prose(rng, SMALLEST).encode().replace(b"\n", b"\r\n")
    return octets.removesuffix(b"\r\n") if rng.random() < 0.05 else octets


def _size(rng: random.Random) -> int:
    """Octets of the body, roughly."""
    least, most = rng.choices(((50, 800), (800, 18_000), (18_000, 60_000), (60_000, 250_000)), (8, 80, 9, 3))[0]
    return int(least * (most / least) ** rng.random())


# Header fields


def _headers(rng: random.Random, unique: str) -> list[bytes]:
    headers = [
        b"From: " + _address(rng),
        b"To: " + _recipients(rng),
        _subject(rng),
        f"Message-ID: <{unique}.{rng.getrandbits(48):x}@example.{rng.choice(('org', 'net'))}>".encode(),
    ]
    if rng.random() < 0.95:
        headers.append(_date(rng))
    headers += [make(rng) for make in _ODD if rng.random() < 0.06]
    if rng.random() < 0.3:
        headers.append(b"In-Reply-To: <%x@example.net>" % rng.getrandbits(40))
    rng.shuffle(headers)
    return _received(rng) + headers


def _address(rng: random.Random) -> bytes:
    name = rng.choice(NAMES)
    mailbox = f"{rng.choice(WORDS)}.{rng.choice(WORDS)}@example.{rng.choice(('org', 'net'))}".encode()
    if not name.isascii():
        return encoded_words(name, "utf-8", rng.choice("bq")) + b" <" + mailbox + b">"
    forms = (
        mailbox,
        f"{name} <".encode() + mailbox + b">",
        f'"{name.split()[1]}, {name.split()[0]}" <'.encode() + mailbox + b">",
        mailbox + f" ({name})".encode(),
        b"<" + mailbox + b">",
    )
    return rng.choice(forms)


def _recipients(rng: random.Random) -> bytes:
    if rng.random() < 0.05:
        return b"undisclosed-recipients:;"
    addresses = [_address(rng) for _ in range(rng.choice((1, 1, 1, 2, 3, 12)))]
    joined = rng.choice((b", ", b",\r\n ", b",\r\n\t")).join(addresses)
    return b"Friends of " + rng.choice(WORDS).encode() + b": " + joined + b";" if rng.random() < 0.06 else joined


def _subject(rng: random.Random) -> bytes:
    words = " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))
    if rng.random() < 0.25:
        return b"Subject: " + _foreign(rng, words)
    if rng.random() < 0.15:
        return b"Subject: " + words.replace(" ", "\r\n ").encode()
    prefix = rng.choice(("", "", "", "Re: ", "Fwd: ", "[list] ", "RE: AW: "))
    return f"Subject: {prefix}{words}".encode()


def _foreign(rng: random.Random, words: str) -> bytes:
    charset = rng.choice(_CHARSETS)
    phrase = _PHRASES.get(charset, "Grüße, à bientôt")
    return encoded_words(f"{phrase} {words}", charset, rng.choice("bq"))


def _date(rng: random.Random) -> bytes:
    day, month, year = rng.randint(1, 28), rng.choice(_MONTHS), rng.randint(1998, 2026)
    clock = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
    weekday = rng.choice(("", f"{rng.choice(_DAYS)}, "))
    return f"Date: {weekday}{day} {month} {year} {clock} {rng.choice(_ZONES)}".encode()


def _received(rng: random.Random) -> list[bytes]:
    return [
        b"Received: from relay%d.example.net (relay%d.example.net [192.0.2.%d])\r\n"
        b"\tby mx.example.org with ESMTPS id %x\r\n"
        b"\tfor <alice@example.org>; Mon, 1 Jun 2026 08:00:%02d +0000" % (i, i, i + 1, rng.getrandbits(40), i)
        for i in range(rng.randint(0, 4))
    ]


_ODD: tuple[Callable[[random.Random], bytes], ...] = (
    lambda rng: b"X-Empty:",
    lambda rng: b"Comments: ",
    lambda rng: b"Keywords: \t" + rng.choice(WORDS).encode() + b" \t ",
    lambda rng: b"X-Tab:\tafter\ta\ttab",
    lambda rng: b"X-Long: " + b"x" * 9_000,
    lambda rng: b"X-Eight-Bit: caf\xe9 \xc3\xa9 \xff",
    lambda rng: b"x-lower-case: " + rng.choice(WORDS).encode(),
    lambda rng: b"X-Space-Before-Colon : yes",
    lambda rng: b"X-Word: =?utf-8?q?never_closed " + rng.choice(WORDS).encode(),
    lambda rng: b"X-Charset: =?x-no-such-charset?b?aGVsbG8=?=",
    lambda rng: b"X-Fold:\r\n " + rng.choice(WORDS).encode() + b"\r\n\t" + rng.choice(WORDS).encode(),
    lambda rng: b"X-Only-Fold:\r\n ",
    lambda rng: b"Subject: a second subject",
    lambda rng: b"Cc: Team: ;, " + _address(rng),
    lambda rng: b"Bcc:",
    lambda rng: b"Reply-To: " + _address(rng) + b" (with (nested) comments)",
    lambda rng: b"Sender: @relay.example.net:route@example.net",
    lambda rng: b"References:" + b"".join(b"\r\n <%x@example.net>" % rng.getrandbits(40) for _ in range(40)),
)

# Structures


def _structure(rng: random.Random) -> Maker:
    return rng.choices((_plain, _alternative, _mixed, _nested, _forwarded, _parameters), (40, 20, 20, 8, 7, 5))[0]


def _plain(rng: random.Random, size: int) -> Entity:
    encoding = rng.choice(("7bit", "7bit", "8bit", "quoted-printable", "base64"))
    content = _prose(rng, int(size / 1.37) if encoding == "base64" else size)
    if encoding == "7bit":
        entity = text(content, charset="us-ascii", encoding="7bit")
        return Entity((), entity.body) if rng.random() < 0.2 else entity
    charset = rng.choice(_CHARSETS[:7])
    return text(_PHRASES.get(charset, "Grüße") + "\n" + content, charset=charset, encoding=encoding)


def _alternative(rng: random.Random, size: int) -> Entity:
    html = "<html><body>" + _prose(rng, size // 2).replace("\n\n", "</p>\n<p>") + "</body></html>\n"
    parts = [_plain(rng, size // 2), text(html, subtype="html", encoding="quoted-printable")]
    return _bounded(rng, "alternative", parts)


def _mixed(rng: random.Random, size: int) -> Entity:
    files = rng.randint(1, 3)
    parts = [_plain(rng, min(size // 3, 4_000))]
    parts += [_attachment(rng, (size - size // 3) // files) for _ in range(files)]
    return _bounded(rng, "mixed", parts)


def _nested(rng: random.Random, size: int) -> Entity:
    inner = _alternative(rng, size // 3)
    related = _bounded(rng, "related", [inner, _attachment(rng, size // 3)])
    return _bounded(rng, "mixed", [related, _attachment(rng, size // 4)])


def _forwarded(rng: random.Random, size: int) -> Entity:
    maker = rng.choice((_plain, _alternative, _mixed))
    inner = maker(rng, size // 2).under(*_headers(rng, f"inner.{rng.getrandbits(32):x}"))
    if rng.random() < 0.3:
        return message_part(inner.octets())
    return _bounded(rng, "mixed", [_plain(rng, size // 4), message_part(inner.octets())])


def _parameters(rng: random.Random, size: int) -> Entity:
    """RFC 2231: continuations, charsets, and both at once."""
    odd = (
        b"Content-Type: application/x-stuff;\r\n title*0*=us-ascii'en'This%20is%20even%20more%20;\r\n"
        b' title*1*=%2A%2A%2Afun%2A%2A%2A%20;\r\n title*2="isn\'t it!"',
        b"Content-Type: application/octet-stream; name*=utf-8''na%C3%AFve%20file.bin",
        b'Content-Type: image/png; name="=?utf-8?q?caf=C3=A9.png?="',
        b'CONTENT-TYPE: Text/PLAIN; CharSet="us-ascii" ; Format = flowed ;',
        b'Content-Type: application/pdf (a comment); name="quo\\"ted \\\\ name.pdf"',
    )
    disposition = b"Content-Disposition: attachment; filename*0=part-one-; filename*1=part-two.bin; size=%d" % size
    part = Entity((rng.choice(odd), disposition), text(_prose(rng, size // 2), charset="us-ascii").body)
    return _bounded(rng, "mixed", [_plain(rng, size // 2), part])


def _bounded(rng: random.Random, subtype: str, parts: list[Entity]) -> Entity:
    boundary = rng.choice(("----=_Part_", "=_", "b'()+_,-./:=?", "")) + f"{rng.getrandbits(64):016x}"
    preamble = rng.choice((b"", b"", b"This is a multi-part message in MIME format.\r\n"))
    return multipart(subtype, parts, boundary, preamble=preamble, epilogue=rng.choice((b"", b"", b"\r\nbye\r\n")))


def _attachment(rng: random.Random, size: int) -> Entity:
    data = rng.randbytes(max(1, size * 3 // 4))
    name = f"{rng.choice(WORDS)}-{rng.choice(WORDS)}"
    type_, ending = rng.choice((("application/pdf", "pdf"), ("image/jpeg", "jpg"), ("application/zip", "zip")))
    entity = attachment(f"{name}.{ending}", type_, data, rng.choice((76, 76, 76, 72, 64, 60, 61, 998)))
    return Entity(entity.headers, _spoiled(rng, entity.body)) if rng.random() < 0.08 else entity


def _spoiled(rng: random.Random, body: bytes) -> bytes:
    """Base64 that is not: foreign characters, padding in the middle, cut off, an advertisement at its end."""
    middle = rng.randrange(len(body) // 2 + 1)
    middle += body[middle : middle + 1] == b"\n"  # not between CR and LF
    ways = (
        body[:middle] + b"*!%" + body[middle:],
        body[:middle] + b"==" + body[middle:],
        body.rstrip(b"=\r\n")[:-1] + b"\r\n",
        body + b"_____________________\r\nThis list is free for all\r\n",
        body.replace(b"\r\n", b" \t\r\n", 3),
    )
    return rng.choice(ways)


# Prose


def _prose(rng: random.Random, size: int) -> str:
    """About this many octets in lines of at most 72, with what trips software here and there."""
    lines: list[str] = []
    left = size
    while left > 0:
        line = _line(rng)
        lines.append(line)
        left -= len(line) + 2
    return "\n".join(lines) + "\n"


def _line(rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.88:
        return " ".join(rng.choices(WORDS, k=rng.randint(5, 11)))[:72].rstrip()
    if chance < 0.94:
        return ""
    return rng.choice(_LINES) + rng.choice(WORDS)


_LINES = (
    "From the ", ">From ", ".", "..", "> ", ">> > ", "--", "-- ", "--=_no boundary ", "\t", "  ", "Subject: ",
    "https://example.net/", "* ", "a" * 200 + " ",
)  # fmt: skip
