"""Address lists (RFC 5322 section 3.4): the readable part of whatever the field holds, in linear time.

One pass of a tokenizer, one pass over the tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_FIELD = 1 << 20
_TOKEN = re.compile(
    rb'"((?:[^"\\]|\\.)*)"?'  # quoted string
    rb"|(\[(?:[^\]\\]|\\.)*\]?)"  # domain literal
    rb"|([()<>@,;:.])"  # specials
    rb'|([^\s"\[()<>@,;:.]+)'  # atom
    rb"|(\s+)",
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """One address as ENVELOPE shows it: raw octets, or None.

    A group begins with `host` None and its name as `mailbox`, and ends with both None
    (RFC 9051 section 7.5.2).
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


GROUP_END = Address(None, None, None, None)
_Token = tuple[str, bytes]


def parse(field: bytes) -> list[Address]:
    """The addresses and groups of an unfolded field; what is no address is left out."""
    return list(each(field))


def each(field: bytes) -> Iterator[Address]:
    """Those of `parse`, for who needs only the first."""
    current: list[_Token] = []
    comment = b""
    in_group = in_angle = has_at = False
    for kind, text in _tokens(field[:MAX_FIELD]):
        if kind == "comment":
            comment = comment or text
            continue
        if kind == "special" and text == b"<":
            in_angle = True
        elif kind == "special" and text == b">":
            in_angle = False
        if kind == "special" and not in_angle and text in b",;":
            yield from _address(current, comment)
            current, comment, has_at = [], b"", False
            if text == b";" and in_group:
                yield GROUP_END
                in_group = False
        elif kind == "special" and text == b":" and not (in_angle or in_group or has_at):
            yield Address(None, None, _phrase(current) or b"", None)
            current, comment, in_group = [], b"", True
        else:
            has_at = has_at or (kind == "special" and text == b"@")
            current.append((kind, text))
    yield from _address(current, comment)
    if in_group:
        yield GROUP_END


def _tokens(field: bytes) -> Iterator[_Token]:
    depth = 0
    comment: list[bytes] = []
    for match in _TOKEN.finditer(field):
        quoted, literal, special, atom, _space = match.groups()
        if special == b"(":
            depth += 1
        elif special == b")" and depth:
            depth -= 1
            if not depth:
                yield "comment", b"".join(comment).strip()
                comment = []
        elif depth:
            comment.append(match[0])
        elif quoted is not None:
            yield "quoted", _ESCAPED.sub(rb"\1", quoted)
        elif literal is not None:
            yield "atom", literal
        elif special is not None:
            yield "special", special
        elif atom is not None:
            yield "atom", atom
        else:
            yield "space", b" "


def _address(tokens: list[_Token], comment: bytes) -> Iterator[Address]:
    """What stands between two commas, if it is an address."""
    texts = [token for token in tokens if token[0] != "space"]
    if not texts:
        return
    opening = next((i for i, token in enumerate(tokens) if token == ("special", b"<")), None)
    if opening is None:
        mailbox, host = _addr_spec(texts)
        yield Address(comment or None, None, mailbox, host)
        return
    name = _phrase(tokens[:opening]) or comment or None
    inner = [t for t in tokens[opening + 1 :] if t[0] != "space" and t != ("special", b">") and t != ("special", b"<")]
    route = None
    colon = next((i for i, token in enumerate(inner) if token == ("special", b":")), None)
    if colon is not None and inner[0] == ("special", b"@"):
        route, inner = b"".join(text for _kind, text in inner[:colon]), inner[colon + 1 :]
    mailbox, host = _addr_spec(inner)
    yield Address(name, route, mailbox, host)


def _addr_spec(tokens: list[_Token]) -> tuple[bytes, bytes]:
    at = max((i for i, token in enumerate(tokens) if token == ("special", b"@")), default=None)
    if at is None:
        return b"".join(text for _kind, text in tokens), b""
    return (b"".join(text for _kind, text in tokens[:at]), b"".join(text for _kind, text in tokens[at + 1 :]))


def _phrase(tokens: list[_Token]) -> bytes:
    """Words as written, with single spaces; quotes are gone."""
    return b"".join(text for _kind, text in tokens).strip()
