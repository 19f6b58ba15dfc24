"""Dates of mail, both as RFC 5322 section 3.3 defines them and as they are sent instead."""

from __future__ import annotations

import re
from datetime import date

_COMMENT_MARK = re.compile(r"\\.|[()]", re.DOTALL)
_MAX_FIELD = 1000
_DATE = re.compile(r"(?:[A-Za-z]+\s*,?\s*)?(\d{1,2})[\s-]+([A-Za-z]{3})[a-z]*\.?[\s-]+(\d{2,4})", re.ASCII)
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_DAY_ONLY = re.compile(r"(?:[A-Za-z]+\s*,?\s*)?\d{1,2}[\s-]+[A-Za-z]{3}[a-z]*\.?[\s-]+\d{2,4}", re.ASCII)
_EPOCH = date(1970, 1, 1)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = {name.lower(): month for month, name in enumerate(MONTHS, 1)}


def sent_day(field: bytes | None) -> date | None:
    """Return the calendar day that a Date field names in its own zone (RFC 9051 section 6.4.4), or None."""
    if field is None:
        return None
    text = _without_comments(field)
    match = _DATE.match(text)
    try:
        if match:
            return date(_year(match[3]), _MONTH[match[2].lower()], int(match[1]))
        iso = _ISO.match(text)
        return date(int(iso[1]), int(iso[2]), int(iso[3])) if iso else None
    except (ValueError, KeyError):
        return None


def _without_comments(field: bytes) -> str:
    """Return a field's text without comments, which may be nested (RFC 5322 section 3.2.2)."""
    text = field[:_MAX_FIELD].decode("latin-1")
    pieces: list[str] = []
    depth = position = 0
    for match in _COMMENT_MARK.finditer(text):
        if not depth:
            pieces.append(text[position : match.start()])
        if match[0] in "()":
            depth = depth + 1 if match[0] == "(" else max(depth - 1, 0)
        position = match.end()
    if not depth:
        pieces.append(text[position:])
    return " ".join(pieces).strip()


def _year(text: str) -> int:
    """Return the year, reading two and three digits as RFC 5322 section 4.3 does."""
    year = int(text)
    if len(text) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(text) == 3 else year


_TIME = re.compile(
    r"\s+(\d{1,2})\s*:\s*(\d{2})(?:\s*:\s*(\d{2}))?(?:\s*([+-])(\d{2})(\d{2})\b|\s*([A-Za-z]{1,5}))?", re.ASCII
)
_ZONES = {"EDT": -4, "EST": -5, "CDT": -5, "CST": -6, "MDT": -6, "MST": -7, "PDT": -7, "PST": -8}


def sent_moment(field: bytes | None) -> int | None:
    """Return a Date field in seconds since 1970 UTC, or None if it names no day (RFC 5256 section 2.2).

    An invalid or missing time counts as midnight, an invalid or missing zone as UTC.
    """
    if field is None:
        return None
    text = _without_comments(field)
    day = sent_day(field)
    if day is None:
        return None
    seconds = (day - _EPOCH).days * 86400
    date_match = _DAY_ONLY.match(text)
    match = _TIME.match(text, date_match.end()) if date_match else None
    if match is None:
        return seconds
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if hour > 23 or minute > 59 or second > 60:
        return seconds
    return seconds + hour * 3600 + minute * 60 + second - _offset(match)


def _offset(match: re.Match[str]) -> int:
    """Return the zone in seconds east of UTC."""
    if match[4]:
        hours, minutes = int(match[5]), int(match[6])
        if hours > 23 or minutes > 59:
            return 0
        return (hours * 3600 + minutes * 60) * (-1 if match[4] == "-" else 1)
    return _ZONES.get((match[7] or "").upper(), 0) * 3600
