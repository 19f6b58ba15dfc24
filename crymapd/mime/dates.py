"""Dates of mail (RFC 5322 section 3.3 and what is sent instead)."""

from __future__ import annotations

import re
from datetime import date

_COMMENT = re.compile(r"\([^()]*\)")
_DATE = re.compile(
    r"(?:[A-Za-z]+\s*,?\s*)?(\d{1,2})[\s-]+([A-Za-z]{3})[a-z]*\.?[\s-]+(\d{2,4})(?:\s+\d{1,2}:\d{2})?", re.ASCII
)
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = {name.lower(): number for number, name in enumerate(MONTHS, 1)}


def sent_day(field: bytes | None) -> date | None:
    """The calendar day that a Date field names, in its own zone (RFC 9051 section 6.4.4); None if unreadable."""
    if field is None:
        return None
    text = _COMMENT.sub(" ", field[:200].decode("latin-1")).strip()
    match = _DATE.match(text)
    try:
        if match:
            return date(_year(match[3]), _MONTH[match[2].lower()], int(match[1]))
        iso = _ISO.match(text)
        return date(int(iso[1]), int(iso[2]), int(iso[3])) if iso else None
    except (ValueError, KeyError):
        return None


def _year(text: str) -> int:
    """Two and three digits as RFC 5322 section 4.3 reads them."""
    year = int(text)
    if len(text) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(text) == 3 else year
