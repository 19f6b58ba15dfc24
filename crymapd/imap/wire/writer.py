"""Writes the strings, mailbox names and dates that we send."""

from __future__ import annotations

import re
import time
from functools import lru_cache

from crymapd.imap.wire import mutf7
from crymapd.mime.dates import MONTHS

_SAFE = re.compile(rb"[A-Za-z0-9._/=+-]+")
_MONTHS = tuple(name.encode("ascii") for name in MONTHS)


def quoted(value: bytes) -> bytes:
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def astring(value: bytes) -> bytes:
    """Write an atom if that is safe, else a quoted string, or a literal if it cannot be quoted either."""
    if _SAFE.fullmatch(value) and value.upper() != b"NIL":
        return value
    if re.search(rb"[\x00\r\n\x80-\xff]", value):
        return literal(value)
    return quoted(value)


def mailbox(name: str, *, utf8: bool = False) -> bytes:
    """Write a mailbox name in modified UTF-7, or in UTF-8 for a client that has enabled it."""
    if not utf8:
        return astring(mutf7.encode(name))
    octets = name.encode("utf-8")
    return quoted(octets) if not octets.isascii() else astring(octets)


def without_nul(value: bytes) -> bytes:
    """Put 0x80 in place of each NUL, as there is none in a literal (RFC 9051 section 9, CHAR8); the length stays."""
    return value.replace(b"\0", b"\x80")


def literal(value: bytes) -> bytes:
    return b"{%d}\r\n%b" % (len(value), without_nul(value))


def literal8(value: bytes) -> bytes:
    """Write a literal that may hold NUL (RFC 3516 section 4.2), which is for clients that have asked for BINARY."""
    return b"~{%d}\r\n%b" % (len(value), value)


def string(value: bytes, *, utf8: bool = False) -> bytes:
    """Write a quoted string if the client can read it, else a literal."""
    if len(value) > 1000 or b"\r" in value or b"\n" in value or b"\0" in value or not (utf8 or value.isascii()):
        return literal(value)
    return quoted(value)


def date_time(seconds: int, zone: int) -> bytes:
    """Write a moment in time as `date-time` (RFC 9051 section 9).

    Args:
        seconds: seconds since 1970, in UTC.
        zone: minutes east of UTC.
    """
    day, second = divmod(seconds + zone * 60, 86400)
    minute, second = divmod(second, 60)
    return b'"%b %02d:%02d:%02d %b"' % (_day(day), minute // 60, minute % 60, second, _zone(zone))


@lru_cache(maxsize=4096)
def _day(days: int) -> bytes:
    """Write the day that is so many days after 1 January 1970 as `17-Jul-1996`."""
    moment = time.gmtime(days * 86400)
    return b"%2d-%b-%04d" % (moment.tm_mday, _MONTHS[moment.tm_mon - 1], moment.tm_year)


@lru_cache(maxsize=256)
def _zone(minutes: int) -> bytes:
    sign, east = (b"-", -minutes) if minutes < 0 else (b"+", minutes)
    return b"%b%02d%02d" % (sign, *divmod(east, 60))
