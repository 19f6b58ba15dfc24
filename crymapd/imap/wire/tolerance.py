"""Accepts what some clients send against the grammar, if it can mean only one thing.

Each tolerance is one function or pattern, with the client, its version and the date when it was seen. A process that
needs a tolerance logs it once.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from crymapd import log
from crymapd.mime.dates import MONTHS

_MONTHS = {name.lower().encode("ascii"): month for month, name in enumerate(MONTHS, 1)}
_BLANKS = {b" ": rb" +", b"(": rb"\( *", b")": rb" *\)", b"]": rb" *\]"}


@lru_cache(maxsize=512)
def extra_blanks(text: bytes) -> re.Pattern[bytes]:
    """Return a pattern for text of the grammar, in any case, that allows extra blanks.

    They may stand beside blanks, and inside parentheses and brackets.
    Dovecot 2.3's imapc (dsync, 2026) sends `( $Junk)`, aioimaplib 2.0 (2026) `ID ( "name" ...`.
    """
    octets = (text[at : at + 1] for at in range(len(text)))
    return re.compile(b"".join(_BLANKS.get(octet) or re.escape(octet) for octet in octets), re.IGNORECASE)


def note_extra_blanks(text: bytes, matched: bytes) -> None:
    """Log that a client has sent extra blanks, if `matched` has more octets than the text of the grammar."""
    if len(matched) > len(text):
        log.tolerated("extra blanks in a command")


def search_text(octets: bytes) -> str:
    """Decode a string of SEARCH from UTF-8, or from Latin-1 if it is not valid UTF-8.

    Jakarta Mail 2.1 (the base of FairEmail, 2026) enables UTF8=ACCEPT and then quotes Latin-1.
    """
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        log.tolerated("Latin-1 in SEARCH where UTF-8 was announced")
        return octets.decode("latin-1")


_STRICT = re.compile(rb"[ \d]\d-[A-Za-z]{3}-\d{4} \d\d:\d\d:\d\d [+-]\d{4}")
_DATE_TIME = re.compile(
    rb"\s*(\d{1,2})[-\s]+([A-Za-z]{3})[A-Za-z]*[-\s]+(\d{4}|\d{2})\s+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?\s*(.*?)\s*"
)
_OFFSET = re.compile(rb"([+-])[-+.]?(\d{1,2}?):?(\d{2})")


def date_time(octets: bytes) -> datetime | None:
    """Read the INTERNALDATE that APPEND gives; returns None, for the time of arrival, if it cannot be read at all.

    iOS 18.3 (2025) sends a day of one digit without a blank before it. node-imap 0.8 sends zones such as `--400` (west
    of Greenwich) and `+.530` (in India). Others leave out seconds or the zone. To refuse the date would lose the mail.
    """
    if not _STRICT.fullmatch(octets):
        log.tolerated("a date and time that APPEND does not have in this form")
    match = _DATE_TIME.fullmatch(octets[:100])
    if match is None:
        return None
    day, month, year, hour, minute, second, zone = match.groups()
    try:
        return datetime(
            _full_year(year),
            _MONTHS[month.lower()],
            int(day),
            int(hour),
            int(minute),
            min(int(second or 0), 59),  # a leap second
            tzinfo=timezone(_offset(zone)),
        )
    except (ValueError, KeyError, OverflowError):
        return None


def _full_year(digits: bytes) -> int:
    """Return the year that two or four digits mean (RFC 5322 section 4.3)."""
    year = int(digits)
    return year if len(digits) == 4 else year + (2000 if year < 50 else 1900)


def _offset(zone: bytes) -> timedelta:
    """Return how far a zone is east of Greenwich, or zero if it cannot be read."""
    match = _OFFSET.fullmatch(zone)
    if match is None:
        return timedelta()
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset >= timedelta(days=1):
        return timedelta()
    return -offset if sign == b"-" else offset
