"""The visible text of HTML, from its beginning and no further than it is asked for."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_MARKUP = re.compile(r"<(?:!--|(/?[A-Za-z][^\s/>]*)|[!?/])")
# Quotes only count behind an equal sign; a quoted value without its end is taken for an unquoted one.
_REST_OF_TAG = re.compile(r"""(?:[^>=]++|=\s*"[^"]*"|=\s*'[^']*'|=)*+>""")
_INVISIBLE = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("style", "script", "title", "template")}
"""Elements whose content is not shown, with what ends them."""
_WITHIN_WORDS = frozenset(
    ("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "dfn", "em", "font", "i", "ins", "kbd", "mark",
     "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr")
)  # fmt: skip
"""Elements that may begin and end inside a word; any other parts words."""
_LONG_REFERENCE = re.compile(r"&#[xX]?[0-9A-Fa-f]{8,};?")
"""No character has such a number, and Python refuses to read those of more than 4300 digits."""


def visible_text(markup: str) -> Iterator[str]:
    """The text that a reader sees, in pieces: without tags, comments, styles and scripts, its references resolved."""
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
