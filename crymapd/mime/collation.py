"""How texts are ordered: i;unicode-casemap (RFC 5051), which SORT and THREAD use (RFC 5256 section 2)."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=4096)
def _mapped(character: str) -> str:
    title = character.title()
    return unicodedata.normalize("NFKD", title if len(title) == 1 else character)


def collation_key(text: str) -> str:
    """Titlecase of each character, decomposed; keys compare by code point."""
    if text.isascii():
        return text.upper()
    return "".join(map(_mapped, text))
