"""The terminals of the grammar: RFC 9051 section 9 and RFC 3501 section 9, as methods that consume or fail.

A `Scanner` stands somewhere in the octets of one response. A method named as a production consumes exactly
that production or raises `Ungrammatical`; `accept` and the `try_` methods may find nothing, and have then
consumed nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from tests.testlib.answers import Numbers

NUMBER = 2**32 - 1
NUMBER64 = 2**63 - 1

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9.\-=]*")
_LABEL = re.compile(rb"[A-Za-z\-_.][A-Za-z\-_.0-9:]*")
_DIGITS = re.compile(rb"[0-9]+")
_QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\\x80-\xff]|\\["\\])*)"')
_QUOTED_UTF8 = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*)"')
_QUOTED_CHAR = re.compile(rb'"([^\x00\r\n"\\\x80-\xff]|\\["\\])"')
_LITERAL = re.compile(rb"\{([0-9]+)\}\r\n")
_LITERAL8 = re.compile(rb"~\{([0-9]+)\}\r\n")
_NIL = re.compile(rb"NIL(?![^\x00-\x20\x7f-\xff(){%*\"\\])", re.I)
_RANGE = re.compile(rb"([0-9]+)(?::([0-9]+))?")
_OBJECT = re.compile(rb"[A-Za-z0-9_\-]{1,255}")
_FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_DATE = re.compile(
    rb'"( [0-9]|[0-9]{2})-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-([0-9]{4})'
    rb' ([0-9]{2}:[0-9]{2}:[0-9]{2}) ([+-][0-9]{4})"',
    re.I,
)


class Ungrammatical(ValueError):
    """The server sent what the grammar does not have.

    Args:
        expected: what the grammar asks for there.
        data: the octets of the whole response.
        position: the octet where it went wrong, from 0.
    """

    def __init__(self, expected: str, data: bytes, position: int) -> None:
        self.expected, self.data, self.position = expected, data, position
        before, after = data[max(0, position - 60) : position], data[position : position + 40]
        super().__init__(f"expected {expected} at octet {position}: {before!r} -->{after!r}")


@dataclass(frozen=True, slots=True)
class Options:
    """What the session has agreed on.

    Attributes:
        utf8: after ENABLE UTF8=ACCEPT or IMAP4rev2, quoted strings and text may be UTF-8.
    """

    utf8: bool = False


def decode(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


@dataclass(slots=True)
class Scanner:
    data: bytes
    options: Options = Options()
    position: int = 0

    def fail(self, expected: str, position: int | None = None) -> NoReturn:
        raise Ungrammatical(expected, self.data, self.position if position is None else position)

    def accept(self, octets: bytes) -> bool:
        if not self.data.startswith(octets, self.position):
            return False
        self.position += len(octets)
        return True

    def expect(self, octets: bytes) -> None:
        if not self.accept(octets):
            self.fail(repr(octets.decode()))

    def sees(self, octets: bytes) -> bool:
        return self.data.startswith(octets, self.position)

    def sp(self) -> None:
        self.expect(b" ")

    def crlf(self) -> None:
        self.expect(b"\r\n")
        if self.position != len(self.data):
            self.fail("the end of the response")

    def take(self, pattern: re.Pattern[bytes], expected: str) -> re.Match[bytes]:
        match = pattern.match(self.data, self.position)
        if not match:
            self.fail(expected)
        self.position = match.end()
        return match

    def try_take(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        match = pattern.match(self.data, self.position)
        if match:
            self.position = match.end()
        return match

    # Words

    def word(self, expected: str) -> str:
        """A keyword of the protocol, in capitals."""
        return self.take(_WORD, expected).group().decode().upper()

    def try_word(self, word: bytes) -> bool:
        """This keyword and nothing longer."""
        match = _WORD.match(self.data, self.position)
        if not match or match.group().upper() != word:
            return False
        self.position = match.end()
        return True

    def keyword(self, word: bytes) -> None:
        if not self.try_word(word):
            self.fail(word.decode())

    def atom(self, expected: str = "an atom") -> str:
        return self.take(_ATOM, expected).group().decode()

    def label(self) -> str:
        return self.take(_LABEL, "a tagged-ext-label").group().decode().upper()

    def object_id(self) -> str:
        return self.take(_OBJECT, "an objectid of 1 to 255 characters").group().decode()

    def flag(self, *, recent: bool = False, star: bool = False) -> str:
        """RFC 9051: flag; `\\Recent` only in FETCH, `\\*` only in PERMANENTFLAGS."""
        if star and self.accept(b"\\*"):
            return "\\*"
        start = self.position
        flag = self.take(_FLAG, "a flag").group().decode()
        if flag.lower() == "\\recent" and not recent:
            self.fail("a flag other than \\Recent", start)
        return flag

    def flag_list(self, *, recent: bool = False, star: bool = False) -> tuple[str, ...]:
        self.expect(b"(")
        flags: list[str] = []
        while not self.accept(b")"):
            if flags:
                self.sp()
            flags.append(self.flag(recent=recent, star=star))
        return tuple(flags)

    # Strings

    def try_string(self) -> bytes | None:
        if self.sees(b'"'):
            return self.quoted()
        return self.literal() if self.sees(b"{") else None

    def octets(self) -> bytes:
        """RFC 9051: string."""
        value = self.try_string()
        if value is None:
            self.fail("a string")
        return value

    def string(self) -> str:
        return decode(self.octets())

    def quoted(self) -> bytes:
        start = self.position
        value = self.take(_QUOTED_UTF8 if self.options.utf8 else _QUOTED, "a quoted string").group(1)
        try:
            value.decode("utf-8")
        except UnicodeDecodeError:
            self.fail("UTF-8 in a quoted string", start)
        return re.sub(rb'\\(["\\])', rb"\1", value)

    def literal(self) -> bytes:
        value = self._counted(self.take(_LITERAL, "a literal"))
        if b"\0" in value:  # RFC 9051 section 9, note 3
            self.fail("no NUL in a literal", self.position - len(value) + value.index(b"\0"))
        return value

    def literal8(self) -> bytes:
        return self._counted(self.take(_LITERAL8, "a literal8"))

    def _counted(self, head: re.Match[bytes]) -> bytes:
        size = int(head.group(1))
        if size > NUMBER64 or self.position + size > len(self.data):
            self.fail(f"{size} octets of a literal")
        self.position += size
        return self.data[self.position - size : self.position]

    def try_nil(self) -> bool:
        return self.try_take(_NIL) is not None

    def noctets(self) -> bytes | None:
        """RFC 9051: nstring."""
        if self.try_nil():
            return None
        value = self.try_string()
        if value is None:
            self.fail("a string or NIL")
        return value

    def nstring(self) -> str | None:
        value = self.noctets()
        return None if value is None else decode(value)

    def astring(self, expected: str = "an astring") -> str:
        value = self.try_string()
        return self.take(_ASTRING, expected).group().decode() if value is None else decode(value)

    def mailbox(self) -> str:
        name = self.astring("a mailbox name")
        return "INBOX" if name.upper() == "INBOX" else name

    def delimiter(self) -> str | None:
        """RFC 9051: DQUOTE QUOTED-CHAR DQUOTE / nil."""
        if self.try_nil():
            return None
        return self.take(_QUOTED_CHAR, "one quoted character or NIL").group(1)[-1:].decode()

    # Numbers

    def number(self, *, least: int = 0, most: int = NUMBER) -> int:
        start = self.position
        digits = self.take(_DIGITS, "a number").group()
        value = int(digits)
        if not least <= value <= most or (least and digits.startswith(b"0")):
            self.fail(f"a number from {least} to {most}", start)
        return value

    def nz_number(self) -> int:
        return self.number(least=1)

    def number64(self) -> int:
        return self.number(most=NUMBER64)

    def modseq(self) -> int:
        return self.number(least=1, most=NUMBER64)

    def numbers(self) -> Numbers:
        """RFC 9051: sequence-set without `*`; all a server ever sends."""
        ranges = [self._range()]
        while self.accept(b","):
            ranges.append(self._range())
        return Numbers(tuple(ranges))

    def _range(self) -> tuple[int, int]:
        first = self.nz_number()
        return first, self.nz_number() if self.accept(b":") else first

    def date_time(self) -> datetime:
        start = self.position
        match = self.take(_DATE, "a date-time")
        day, month, year, time, zone = (group.decode() for group in match.groups())
        try:
            return datetime.strptime(f"{day.strip()} {month} {year} {time} {zone}", "%d %b %Y %H:%M:%S %z")
        except ValueError:
            self.fail("a date-time that exists", start)
