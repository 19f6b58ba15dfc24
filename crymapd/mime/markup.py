"""The visible text of HTML, extracted lazily from the beginning."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_MARKUP = re.compile(r"<(?:!--|(/?[A-Za-z][^\s/>]*)|[!?/])")
# Quotes count only behind an equal sign; an unterminated quoted value is taken for an unquoted one.
_REST_OF_TAG = re.compile(r"""(?:[^>=]++|=\s*"[^"]*"|=\s*'[^']*'|=)*+>""")
_INVISIBLE = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("style", "script", "title", "template")}
"""The elements whose content is not shown, each with the expression that finds its end."""
_WITHIN_WORDS = frozenset(
    ("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "dfn", "em", "font", "i", "ins", "kbd", "mark",
     "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr")
)  # fmt: skip
"""The elements that may begin and end inside a word; all others separate words."""
_LONG_REFERENCE = re.compile(r"&#[xX]?[0-9A-Fa-f]{8,};?")
"""A numeric reference too large for any character; Python refuses to parse those of more than 4300 digits."""


def visible_text(markup: str) -> Iterator[str]:
    """Yield the text that a reader sees: without tags, comments, styles and scripts, and with references resolved."""
    position = 0
    while match := _MARKUP.search(markup, position):
        if match.start() > position:
            yield _resolved(markup[position : match.start()])
        name = (match[1] or "").lower()
        if match[0] == "<!--":
            end = markup.find("-->", match.start() + 2)
            position = end + 3 if end >= 0 else len(markup)
            continue
        tag = _REST_OF_TAG.match(markup, match.end())
        if tag is None:
            return
        position = tag.end()
        if name in _INVISIBLE:
            end_tag = _INVISIBLE[name].search(markup, position)
            if end_tag is None:
                return
            position = end_tag.start()
        if name.removeprefix("/") not in _WITHIN_WORDS:
            yield " "
    yield _resolved(markup[position:])


def _resolved(text: str) -> str:
    return html.unescape(_LONG_REFERENCE.sub(" ", text)) if "&" in text else text
