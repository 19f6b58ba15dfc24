"""Comparing texts: i;unicode-casemap (RFC 5051), for SEARCH, SORT and THREAD alike (RFC 5256 section 2)."""

from __future__ import annotations

import unicodedata

_MAX_KNOWN_CHARACTERS = 20_000


class _Casemap(dict[int, str]):
    """Map each character to its decomposed titlecase, which is computed once.

    Characters are decomposed one by one, because ordering a long run of combining marks takes quadratic time.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        title = character.title()
        mapped = unicodedata.normalize("NFKD", title if len(title) == 1 else character)
        if len(self) >= _MAX_KNOWN_CHARACTERS:
            self.clear()  # nobody uses so many characters, except to exhaust memory
        self[code] = mapped
        return mapped


_CASEMAP = _Casemap()


def collation_key(text: str) -> str:
    """Return the text without case and with its accents separated from letters; such keys compare by code point."""
    return text.upper() if text.isascii() else text.translate(_CASEMAP)
