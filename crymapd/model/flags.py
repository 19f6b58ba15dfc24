"""Flags and keywords (RFC 9051 section 2.3.2).

Case does not matter. System flags are spelled as below, and a keyword is spelled as it first was in the
account.
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
    """How STORE combines flags with those that a message has (RFC 9051 section 6.4.6)."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


def canonical_flag(text: str) -> str:
    """Return the one spelling in which a flag is kept.

    Raises:
        ValueError: the flag is `\\Recent`, an unknown system flag, or a keyword that is not an atom.
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
    """Return several flags in their one spelling; keywords that differ only by case become one."""
    seen = {flag.lower(): flag for flag in map(canonical_flag, texts)}
    return frozenset(seen.values())


def in_order(flags: Iterable[str]) -> list[str]:
    """Return system flags first, in their usual order, then keywords by name."""
    present = set(flags)
    return [f for f in SYSTEM_FLAGS if f in present] + sorted(present.difference(SYSTEM_FLAGS))
