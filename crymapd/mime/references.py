"""Message-IDs: what a message is called and which ones it answers (RFC 5322 section 3.6.4)."""

from __future__ import annotations

import re

from crymapd.mime.header import Header

# `<left@right>`, the left side perhaps quoted. White space between the brackets is left by folding, and no part of it.
# A `<` never belongs to an id: were it allowed in quotes, each would be tried to the end of the field.
_BRACKETED = re.compile(rb'<((?:"(?:[^"\\\r\n<]|\\[^\n<])*+"|[^<>"])++)>')
_SPACE = re.compile(rb"\s+")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"')
_ESCAPED = re.compile(rb"\\(.)")
MAX_FIELD = 64 * 1024
MAX_IDS = 50
"""Of a longer list the nearest ancestors count."""


def message_ids(field: bytes | None) -> list[bytes]:
    """The ids in a field, without brackets and unneeded quotes (RFC 5256 section 2.2), in order.

    What has no `@` is none (RFC 5322 section 3.6.4): people answer `yes` when git asks what they answer to, and would
    be joined with all others who did.
    """
    if not field:
        return []
    ids = (_normal(octets) for octets in _BRACKETED.findall(field[:MAX_FIELD]))
    return [one for one in ids if b"@" in one]


def _normal(octets: bytes) -> bytes:
    """An id without white space outside quotes, and without the quotes."""
    if b'"' not in octets:
        return _SPACE.sub(b"", octets)
    pieces = _QUOTED.split(octets)
    pieces[::2] = (_SPACE.sub(b"", piece) for piece in pieces[::2])
    pieces[1::2] = (_ESCAPED.sub(rb"\1", piece) for piece in pieces[1::2])
    return b"".join(pieces)


def message_id(header: Header) -> bytes | None:
    """The message's own id."""
    return next(iter(message_ids(header.first(b"message-id"))), None)


def parents(header: Header) -> list[bytes]:
    """What it answers, oldest first: References, or the first id of In-Reply-To (RFC 5256 section 3)."""
    named = message_ids(header.first(b"references"))[-MAX_IDS:]
    return named or message_ids(header.first(b"in-reply-to"))[:1]


def references(header: Header) -> tuple[bytes, ...]:
    """Every id that ties a message to others, its own first, the nearest ancestors next."""
    own = message_id(header)
    ids = [*([own] if own else []), *reversed(parents(header)), *message_ids(header.first(b"in-reply-to"))[:MAX_IDS]]
    return tuple(dict.fromkeys(ids))
