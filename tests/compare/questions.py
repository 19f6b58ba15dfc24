"""What is asked about a message: every item of FETCH that says something of it, and words to search for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crymapd.mime import addresses
from crymapd.mime.encoded_words import decode_words
from crymapd.mime.header import Header
from crymapd.mime.parts import Part, parse
from crymapd.mime.text import body_texts

FIELDS = b"(Subject From TO dAtE Received X-None)"
WHOLE = (
    b"RFC822.SIZE", b"ENVELOPE", b"BODY", b"BODYSTRUCTURE", b"BODY.PEEK[]", b"BODY.PEEK[HEADER]", b"BODY.PEEK[TEXT]",
    b"BODY.PEEK[HEADER.FIELDS %b]" % FIELDS, b"BODY.PEEK[HEADER.FIELDS.NOT %b]" % FIELDS, b"BODY.PEEK[]<3.40>",
    b"BODY.PEEK[TEXT]<9.11>",
)  # fmt: skip
OF_A_PART = (b"", b".MIME", b".HEADER", b".TEXT", b".HEADER.FIELDS (SUBJECT)")
MAX_PATHS = 30
_WORD = re.compile(r"[^\W_]{4,20}")


def items(message: bytes) -> list[bytes]:
    """The items of FETCH, those of parts that are there and of some that are not."""
    paths = list(_paths(parse(message)))[:MAX_PATHS]
    odd = [b"1", b"1.1", b"2", b"1.2", *[path + b".1" for path in paths[-2:]]]
    numbers = dict.fromkeys([*paths, *odd])
    return [*WHOLE, *(b"BODY.PEEK[%b%b]" % (path, what) for path in numbers for what in OF_A_PART)]


def _paths(root: Part) -> Iterator[bytes]:
    stack = [(root, b"")]
    while stack:
        part, path = stack.pop()
        dot = path + b"." if path else b""
        if part.is_multipart:
            stack += [(child, dot + b"%d" % number) for number, child in enumerate(part.children, 1)]
        elif part.is_message:
            stack += [(child, path if child.is_multipart else dot + b"1") for child in part.children]
        if path:
            yield path


def searches(message: bytes) -> Iterator[tuple[bytes, str]]:
    """Keys and texts that the message should be found by: `SUBJECT`, `word`."""
    root = parse(message)
    header: Header = root.header
    subject = decode_words(header.first(b"subject") or b"")
    yield from ((b"SUBJECT", word) for word in _WORD.findall(subject)[:2])
    if len(subject.split()) > 2:
        yield b"SUBJECT", " ".join(subject.split()[:3])[:60]
    for name in (b"from", b"to", b"cc"):
        for address in addresses.parse(b", ".join(header.all(name)))[:1]:
            yield from ((name.upper(), word) for word in _WORD.findall(decode_words(address.name or b""))[:1])
            if address.mailbox and address.host and address.host.isascii() and address.mailbox.isascii():
                yield name.upper(), f"{address.mailbox.decode()}@{address.host.decode()}"
    for name in (b"message-id", b"content-type", b"x-mailer"):
        value = decode_words(header.first(name) or b"")
        yield from ((b"HEADER " + name.upper(), word) for word in _WORD.findall(value)[:1])
    for text in body_texts(root, lambda start, end: iter((message[start:end],))):
        words = _WORD.findall(text[:4000])
        yield from ((b"BODY", word) for word in {*words[3:4], *words[-1:]})
        yield from ((b"TEXT", word) for word in words[5:6])
        yield from ((b"BODY", word) for word in words if not word.isascii() and len(word) > 5)
