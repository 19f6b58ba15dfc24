"""Message-IDs: what a message is called and which ones it answers (RFC 5322 section 3.6.4)."""

from __future__ import annotations

import re

from crymapd.mime.header import Header

# `<left@right>`, the left side perhaps quoted; anything between the brackets is taken as it stands.
# A `<` never belongs to an id: were it allowed in quotes, each would be tried to the end of the field.
_ID = re.compile(rb'<((?:"(?:[^"\\\r\n<]|\\[^\n<])*+"|[^<>"\s])++)>')
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"')
_ESCAPED = re.compile(rb"\\(.)")
MAX_FIELD = 64 * 1024
MAX_IDS = 50
"""Of a longer list the nearest ancestors count."""


def message_ids(field: bytes | None) -> list[bytes]:
    """The ids in a field, without brackets and unneeded quotes (RFC 5256 section 2.2), in order."""
    if not field:
        return []
    return [_unquoted(found) for found in _ID.findall(field[:MAX_FIELD])]


def _unquoted(octets: bytes) -> bytes:
    return _QUOTED.sub(lambda m: _ESCAPED.sub(rb"\1", m[1]), octets) if b'"' in octets else octets


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
