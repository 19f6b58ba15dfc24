"""Message-IDs: what a message is called and which ones it answers (RFC 5322 section 3.6.4)."""

from __future__ import annotations

import re

from crymapd.mime.header import Header

# Match `<left@right>`, whose left side may be quoted. White space between the brackets comes from folding.
# A `<` never belongs to an id: if quotes could hold one, each `<` would be searched to the end of the field.
_BRACKETED = re.compile(rb'<((?:"(?:[^"\\\r\n<]|\\[^\n<])*+"|[^<>"])++)>')
_SPACE = re.compile(rb"\s+")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"')
_ESCAPED = re.compile(rb"\\(.)")
_IS_ID = re.compile(rb".@.", re.DOTALL)
MAX_FIELD = 64 * 1024
MAX_IDS = 50
"""The number of ids that count; in a longer list these are the nearest ancestors."""


def message_ids(field: bytes | None) -> list[bytes]:
    """Return the ids of a field, without brackets and needless quotes (RFC 5256 section 2.2), in order.

    An id without something on both sides of an `@` is invalid and left out (RFC 5322 section 3.6.4). When git asks
    which id a mail replies to, many answer `yes`; all their mails would become one thread.
    """
    if not field:
        return []
    ids = (_normal(octets) for octets in _BRACKETED.findall(field[:MAX_FIELD]))
    return [one for one in ids if _IS_ID.search(one)]


def _normal(octets: bytes) -> bytes:
    """Return an id without quotes, and without white space outside them."""
    if b'"' not in octets:
        return _SPACE.sub(b"", octets)
    pieces = _QUOTED.split(octets)
    pieces[::2] = (_SPACE.sub(b"", piece) for piece in pieces[::2])
    pieces[1::2] = (_ESCAPED.sub(rb"\1", piece) for piece in pieces[1::2])
    return b"".join(pieces)


def message_id(header: Header) -> bytes | None:
    """Return the message's own id, or None."""
    return next(iter(message_ids(header.first(b"message-id"))), None)


def parents(header: Header) -> list[bytes]:
    """Return the ids that it answers, oldest first: References, or the first of In-Reply-To (RFC 5256 section 3)."""
    ids = message_ids(header.first(b"references"))[-MAX_IDS:]
    return ids or message_ids(header.first(b"in-reply-to"))[:1]


def references(header: Header) -> tuple[bytes, ...]:
    """Return every id that ties a message to others: its own, then its ancestors, the nearest first."""
    own = message_id(header)
    ids = [*([own] if own else []), *reversed(parents(header)), *message_ids(header.first(b"in-reply-to"))[:MAX_IDS]]
    return tuple(dict.fromkeys(ids))
