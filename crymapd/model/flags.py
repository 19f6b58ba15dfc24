"""Flags and keywords (RFC 9051 section 2.3.2).

System flags compare without case and are written as below; keywords keep the spelling they were
first given in an account and compare without ASCII case.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = "\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"
SYSTEM_FLAGS = (SEEN, ANSWERED, FLAGGED, DELETED, DRAFT)
RECENT = "\\Recent"

_CANONICAL = {flag.lower(): flag for flag in SYSTEM_FLAGS}
_ATOM_SPECIALS = frozenset('(){ %*"\\]')
MAX_KEYWORD = 255


class StoreMode(Enum):
    """How STORE combines flags (RFC 9051 section 6.4.6)."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


def canonical_flag(text: str) -> str:
    """The one spelling of a flag we accept.

    Raises:
        ValueError: an unknown `\\Xyz`, `\\Recent`, or a keyword that is not an atom.
    """
    if text.startswith("\\"):
        try:
            return _CANONICAL[text.lower()]
        except KeyError:
            raise ValueError(f"{text} cannot be set") from None
    if not text or len(text) > MAX_KEYWORD or any(c in _ATOM_SPECIALS or not " " < c < "\x7f" for c in text):
        raise ValueError('a keyword is 1 to 255 printable ASCII characters without ( ) { % * " \\ ]')
    return text


def canonical_flags(texts: Iterable[str]) -> frozenset[str]:
    """Several flags at once, each through `canonical_flag`; keywords that differ by case are one."""
    seen = {flag.lower(): flag for flag in map(canonical_flag, texts)}
    return frozenset(seen.values())


def in_order(flags: Iterable[str]) -> list[str]:
    """System flags first in their usual order, then keywords by name."""
    present = set(flags)
    return [f for f in SYSTEM_FLAGS if f in present] + sorted(present.difference(SYSTEM_FLAGS))
