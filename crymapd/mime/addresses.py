"""Address lists (RFC 5322 section 3.4): everything that can be read of a field becomes addresses, in linear time.

A tokenizer feeds one pass over the tokens.  Broken lists are read as RFC 7103 section 7.1 advises: unbalanced
brackets, quotes and parentheses, or stray words around an address, are no reason to lose the address; and
separate words are never joined into an address that nobody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_FIELD = 1 << 20
_TOKEN = re.compile(
    rb'"((?:[^"\\]|\\.)*+)"'  # quoted string
    rb"|(\[[^\[\]\\<>,]*+\])"  # domain literal
    rb"|([()<>@,;:.])"  # specials
    rb'|([^\s"\[()<>@,;:.]+|\[)'  # atom
    rb'|(")'  # a quote without its end
    rb"|\s+",
    re.DOTALL,
)
_UNQUOTED = re.compile(rb'(?!)()|(\[[^\[\]\\<>,]*+\])|([()<>@,;:.])|([^\s"\[()<>@,;:.]+|\[)|(?!)()|[\s"]+')
_COMMENT = re.compile(rb"[()]|[^()\\]+|\\.?", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """Represent one address as ENVELOPE shows it, in raw octets; None stands for what is missing.

    The address that begins a group has `host` None and the group's name as `mailbox`; in the one
    that ends it both are None (RFC 9051 section 7.5.2).
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


GROUP_END = Address(None, None, None, None)
_Token = tuple[str, bytes]
_AT, _DOT = ("special", b"@"), ("special", b".")
_STRAY = (("special", b">"), ("special", b")"))


@dataclass(slots=True)
class _Entry:
    """Collect the tokens that stand between two commas: `before <inner> after`."""

    before: list[_Token] = field(default_factory=list)
    inner: list[_Token] = field(default_factory=list)
    after: list[_Token] = field(default_factory=list)
    comment: bytes = b""
    angles: int = 0  # how many brackets were passed: 1 inside `<>`, 2 behind it
    has_at: bool = False
    in_route: bool = False

    def add(self, token: _Token) -> None:
        tokens = (self.before, self.inner, self.after)[self.angles]
        if token[0] == "special":
            if self.angles == 1:
                self.in_route = (self.in_route or (token == _AT and not tokens)) and token[1] != b":"
            self.has_at = self.has_at or token == _AT
        if tokens or token[0] != "space":
            tokens.append(token)

    def addresses(self) -> Iterator[Address]:
        """Yield the addresses of the entry: none, one, or several where a comma is missing between them."""
        if self.angles:
            yield self._in_angles()
            return
        words: list[_Token] = []  # before the first address
        has_address = False
        for run in _runs(self.before):
            if _AT in run:
                mailbox, host = _addr_spec(run)
                yield Address(self.comment or (not has_address and _phrase(words)) or None, None, mailbox, host)
                has_address = True
            words += (("space", b" "), *run)
        if words and not has_address:
            text = _phrase(self.before)
            if b" " in text:
                yield Address(text, None, b"", b"")
            else:
                yield Address(self.comment or None, None, text, b"")

    def _in_angles(self) -> Address:
        inner, route = self.inner, None
        colon = next((i for i, token in enumerate(inner) if token == ("special", b":")), None)
        if colon is not None and inner[0] == _AT:
            route, inner = b"".join(text for kind, text in inner[:colon] if kind != "space"), inner[colon + 1 :]
        runs = _runs(inner)
        mailbox, host = _addr_spec(next((run for run in runs if _AT in run), [token for run in runs for token in run]))
        return Address(_phrase(self.before) or self.comment or None, route, mailbox, host)


def parse(field: bytes) -> list[Address]:
    """Return the addresses and groups of an unfolded field, leaving out what is no address."""
    return list(each(field))


def each(field: bytes) -> Iterator[Address]:
    """Yield what `parse` returns, one by one, for a caller that needs only the first."""
    entry, in_group = _Entry(), False
    for token in _tokens(field[:MAX_FIELD]):
        if token[0] in ("atom", "space", "quoted"):
            entry.add(token)
            continue
        match token:
            case ("comment", text):
                entry.comment = text or entry.comment  # a comment that names somebody follows the address
            case ("special", b"<"):
                if entry.angles == 2:  # the comma between two addresses is missing
                    yield from entry.addresses()
                    entry = _Entry(before=entry.after)
                entry.angles = 1
            case ("special", b">"):
                entry.angles = 2 if entry.angles else 0
            case ("special", b"," | b";" as text) if not entry.in_route:
                yield from entry.addresses()
                entry = _Entry()
                if text == b";" and in_group:
                    yield GROUP_END
                    in_group = False
            case ("special", b":") if not (entry.angles or in_group or entry.has_at):
                yield Address(None, None, _phrase(entry.before), None)
                entry, in_group = _Entry(), True
            case _:
                entry.add(token)
    yield from entry.addresses()
    if in_group:
        yield GROUP_END


def _tokens(field: bytes, *, comments: bool = True, quotes: bool = True) -> Iterator[_Token]:
    """Split a field into tokens, a comment being one token; a `(` or `"` without its end is an ordinary character."""
    at = 0
    next_token = (_TOKEN if quotes else _UNQUOTED).match
    while match := next_token(field, at):
        at = match.end()
        quoted, literal, special, atom, open_quote = match.groups()
        if special == b"(" and comments:
            end = _comment_end(field, at)
            if end is None:
                yield from _tokens(field[at:], comments=False, quotes=quotes)
                return
            yield "comment", _ESCAPED.sub(rb"\1", field[at : end - 1]).strip()
            at = end
        elif special is not None:
            yield "special", special
        elif atom is not None or literal is not None:
            yield "atom", atom or literal
        elif quoted is not None:
            yield "quoted", _ESCAPED.sub(rb"\1", quoted)
        elif open_quote is not None:
            yield from _tokens(field[at:], comments=comments, quotes=False)
            return
        else:
            yield "space", b" "


def _comment_end(field: bytes, at: int) -> int | None:
    """Return where the comment ends whose text begins here, or None; comments may be nested."""
    depth = 1
    for match in _COMMENT.finditer(field, at):
        if match[0] in (b"(", b")"):
            depth += 1 if match[0] == b"(" else -1
            if not depth:
                return match.end()
    return None


def _runs(tokens: list[_Token]) -> list[list[_Token]]:
    """Group words that specials join, whatever space surrounds those (RFC 5322 section 4.4); drop unpaired brackets."""
    runs: list[list[_Token]] = []
    gap = True
    for token in tokens:
        if token[0] == "space":
            gap = True
        elif token not in _STRAY:
            if not runs or (gap and token[0] != "special" and runs[-1][-1][0] != "special"):
                runs.append([])
            runs[-1].append(token)
            gap = False
    return runs


def _addr_spec(tokens: list[_Token]) -> tuple[bytes, bytes]:
    at = max((i for i, token in enumerate(tokens) if token == _AT), default=None)
    if at is None:
        return b"".join(text for _kind, text in tokens), b""
    return (b"".join(text for _kind, text in tokens[:at]), b"".join(text for _kind, text in tokens[at + 1 :]))


def _phrase(tokens: list[_Token]) -> bytes:
    """Join words as they were written, with single spaces and without quotes."""
    out: list[bytes] = []
    last = "space"
    for kind, text in tokens:
        if "quoted" in (kind, last) and {kind, last} <= {"quoted", "atom"}:
            out.append(b" ")
        if kind != "space" or last != "space":
            out.append(text)
        last = kind
    return b"".join(out).strip()
