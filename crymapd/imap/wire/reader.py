"""Reading a command's arguments: one method per production of RFC 9051 section 9.

A command comes as fragments: line, literal, line, literal, ..., line. A method that is named like its production
raises `BadSyntax` when something else comes. A method whose name begins with `try_` returns None or False instead, and
has then consumed nothing.
"""

from __future__ import annotations

import re
from datetime import date, datetime

from crymapd.imap.wire import mutf7, tolerance
from crymapd.mime.dates import MONTHS
from crymapd.model.flags import canonical_flag
from crymapd.model.numbers import MAX_MODSEQ
from crymapd.model.sequence import STAR, Range, SequenceSet

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_LIST_CHARS = re.compile(rb'[^\x00-\x20\x7f(){"\\]+')
_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]{1,128}(?![^ ])')
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_LITERAL = re.compile(rb"~?\{(\d{1,20})(\+?)\}\Z")
_SPACES = re.compile(rb" *")
_FETCH_NAME = re.compile(rb"[A-Za-z0-9.]+")
_USE = re.compile(rb"\\[A-Za-z]+")
_NUMBER = re.compile(rb"\d{1,20}")
_FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_SEQUENCE = re.compile(rb"[0-9*:,]+|\$")
_DATE = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})")
_MONTHS = {name.lower().encode("ascii"): month for month, name in enumerate(MONTHS, 1)}
_U32 = 2**32 - 1
MAX_RANGES = 20_000
"""The most ranges that a sequence set may have."""
MAX_NAME = 8192
"""The most octets of a mailbox name or pattern.

A name that is allowed takes far less, even in modified UTF-7. A name that is only a little too long passes here,
because the handlers have a better answer for it.
"""


class BadSyntax(Exception):
    """A command does not follow the grammar; the text says what was expected."""


class TooMany(BadSyntax):
    """A command follows the grammar, but has more of something than is read."""


class Reader:
    """A position in the fragments of one command."""

    def __init__(self, fragments: list[bytes], *, utf8: bool = False, utf8_only: bool = False) -> None:
        """Begin at the first octet of a command.

        Args:
            fragments: line, literal, line, ..., line.
            utf8: whether mailbox names are in UTF-8, not modified UTF-7 (RFC 6855 section 3, RFC 9051 section 5.1).
            utf8_only: whether SEARCH must not name a charset, as all strings are in UTF-8 (RFC 6855 section 3).
        """
        self._fragments = fragments
        self._utf8 = utf8
        self.utf8_only = utf8_only
        self._index = 0
        self._at = 0

    @property
    def _line(self) -> bytes:
        return self._fragments[self._index]

    # Octets

    def _match(self, pattern: re.Pattern[bytes]) -> bytes | None:
        match = pattern.match(self._line, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def _expected(self, what: str) -> BadSyntax:
        return BadSyntax(f"expected {what} at octet {self._at + 1}")

    def at_end(self) -> bool:
        return self._at >= len(self._line) and self._index == len(self._fragments) - 1

    def end(self) -> None:
        """Check that nothing follows but spaces, which many clients leave."""
        self._match(_SPACES)
        if not self.at_end():
            raise self._expected("the end of the command")

    def try_text(self, text: bytes) -> bool:
        """Read this text, which is given in capitals, in any case; extra blanks are tolerated."""
        matched = self._match(tolerance.extra_blanks(text))
        if matched is None:
            return False
        tolerance.note_extra_blanks(text, matched)
        return True

    def text(self, text: bytes) -> None:
        if not self.try_text(text):
            raise self._expected(f'"{text.decode()}"')

    def space(self) -> None:
        self.text(b" ")

    def rest(self) -> bytes:
        """Read what is left of the line."""
        octets, self._at = self._line[self._at :], len(self._line)
        return octets

    def peek(self) -> bytes:
        """Return the next octet without reading it, or nothing at the end of the line."""
        return self._line[self._at : self._at + 1]

    # Words

    def tag(self) -> bytes:
        tag = self._match(_TAG)
        if tag is None:
            raise self._expected("a tag")
        return tag

    def atom(self) -> bytes:
        atom = self._match(_ATOM)
        if atom is None:
            raise self._expected("an atom")
        return atom

    def word(self) -> bytes:
        """Read an atom, such as the name of a command or an option, and return it in capitals."""
        return self.atom().upper()

    def fetch_name(self) -> bytes:
        """Read the name of a FETCH item as far as its section, and return it in capitals."""
        name = self._match(_FETCH_NAME)
        if name is None:
            raise self._expected("a fetch item")
        return name.upper()

    def use_attribute(self) -> bytes:
        """Read a special-use attribute such as `\\Sent` (RFC 6154)."""
        attribute = self._match(_USE)
        if attribute is None:
            raise self._expected("a special-use attribute")
        return attribute

    def search_string(self) -> bytes:
        """Read what SEARCH looks for: an atom or a string, of which a quoted one need not be in UTF-8."""
        string = self.try_string(any_octets=True)
        return self.astring() if string is None else string

    def try_string(self, *, any_octets: bool = False) -> bytes | None:
        """Read a quoted string or a literal; a quoted string must be in UTF-8 after ENABLE, unless `any_octets`."""
        if self.peek() == b'"':
            match = _QUOTED.match(self._line, self._at)
            if match is None:
                raise self._expected("a quoted string with its end")
            if self._utf8 and not any_octets and not _is_utf8(match[1]):
                raise self._expected("a quoted string in UTF-8")  # RFC 6855 section 3
            self._at = match.end()
            return re.sub(rb"\\(.)", rb"\1", match[1])
        if self.peek() in (b"{", b"~") and _LITERAL.match(self._line, self._at):
            if self._index + 2 >= len(self._fragments):
                raise self._expected("a literal")
            literal = self._fragments[self._index + 1]
            self._index += 2
            self._at = 0
            return literal
        return None

    def string(self) -> bytes:
        string = self.try_string()
        if string is None:
            raise self._expected("a string")
        return string

    def astring(self) -> bytes:
        string = self.try_string()
        if string is None:
            string = self._match(_ASTRING)
        if string is None:
            raise self._expected("an atom or a string")
        return string

    def nstring(self) -> bytes | None:
        return None if self.try_text(b"NIL") else self.string()

    def mailbox(self) -> str:
        return self._name(self.astring())

    def _name(self, octets: bytes) -> str:
        if len(octets) > MAX_NAME:
            raise BadSyntax(f"a mailbox name or pattern has at most {MAX_NAME} octets")
        if not self._utf8:
            return mutf7.decode(octets)
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            raise BadSyntax("expected a mailbox name in UTF-8") from None

    def list_pattern(self) -> str:
        pattern = self.try_string()
        if pattern is None:
            pattern = self._match(_LIST_CHARS)
        if pattern is None:
            raise self._expected("a mailbox pattern")
        return self._name(pattern)

    # Numbers

    def number(self, largest: int = _U32) -> int:
        digits = self._match(_NUMBER)
        if digits is None or int(digits) > largest:
            raise self._expected(f"a number of at most {largest}")
        return int(digits)

    def modseq(self) -> int:
        return self.number(MAX_MODSEQ)

    def sequence_set(self) -> SequenceSet:
        sequence_set = self.try_sequence_set()
        if sequence_set is None:
            raise self._expected("a sequence set")
        return sequence_set

    def try_sequence_set(self) -> SequenceSet | None:
        start = self._at
        text = self._match(_SEQUENCE)
        if text is None:
            return None
        if text == b"$":
            return SequenceSet((), saved=True)
        pieces = text.split(b",")
        if len(pieces) > MAX_RANGES:
            raise TooMany(f"a sequence set has at most {MAX_RANGES} ranges")
        try:
            return SequenceSet(tuple(_seq_range(piece) for piece in pieces))
        except ValueError:
            self._at = start
            raise self._expected("a sequence set") from None

    def partial_range(self) -> Range[int]:
        """Read `1:100`, or `-1:-100`, which counts from the end (RFC 9394 section 4).

        Returns:
            Both ends, in the order in which the client wrote them.
        """
        first = self._signed()
        self.text(b":")
        last = self._signed()
        if (first < 0) != (last < 0) or not first or not last:
            raise self._expected("a range such as 1:100 or -1:-100")
        return first, last

    def _signed(self) -> int:
        sign = -1 if self.try_text(b"-") else 1
        return sign * self.number()

    def words(self) -> list[bytes]:
        """Read a list of atoms such as `(A B C)`, which may be empty, and return them in capitals."""
        self.text(b"(")
        words: list[bytes] = []
        while not self.try_text(b")"):
            words.append(self.word())
            if self.peek() != b")":
                self.space()
        return words

    # Flags and dates

    def flag(self) -> str:
        flag = self._match(_FLAG)
        if flag is None:
            raise self._expected("a flag")
        try:
            return canonical_flag(flag.decode("ascii"))
        except ValueError as error:
            raise BadSyntax(str(error)) from None

    def flag_list(self) -> frozenset[str]:
        """Read a list such as `(\\Seen foo)`; \\Recent is ignored, because clients send it back to us."""
        self.text(b"(")
        flags: dict[str, str] = {}
        while not self.try_text(b")"):
            if not self.try_text(b"\\RECENT"):
                flag = self.flag()
                flags[flag.lower()] = flag
            if self.peek() != b")":
                self.space()
        return frozenset(flags.values())

    def bare_flags(self) -> frozenset[str]:
        """Read flags without parentheses, as STORE allows."""
        flags = {}
        while True:
            flag = self.flag()
            flags[flag.lower()] = flag
            if not self.try_text(b" "):
                return frozenset(flags.values())

    def date(self) -> date:
        quoted = self.try_text(b'"')
        match = _DATE.match(self._line, self._at)
        try:
            if match is None:
                raise ValueError
            day = date(int(match[3]), _MONTHS[match[2].lower()], int(match[1]))
        except (ValueError, KeyError):
            raise self._expected("a date such as 1-Feb-2026") from None
        self._at = match.end()
        if quoted:
            self.text(b'"')
        return day

    def date_time(self) -> datetime | None:
        """Read the date and time of APPEND; returns None if they cannot be read, which must not lose the mail."""
        octets = self.try_string(any_octets=True)
        if octets is None:
            raise self._expected("a date and time")
        return tolerance.date_time(octets)


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _seq_range(piece: bytes) -> Range[int]:
    first, colon, last = piece.partition(b":")
    low = _seq_number(first)
    return (low, _seq_number(last) if colon else low)


def _seq_number(text: bytes) -> int:
    if text == b"*":
        return STAR
    if len(text) > 10:
        raise ValueError
    number = int(text)
    if not 0 < number <= _U32:
        raise ValueError
    return number
