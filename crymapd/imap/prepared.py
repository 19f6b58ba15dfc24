"""Writes the prepared answers of the index: ENVELOPE, BODY, BODYSTRUCTURE and the usual header fields.

`store/summary.py` calls `prepare` for each message that is summarized, and keeps the octets without looking into them.
"""

from __future__ import annotations

from crymapd.imap.wire.envelope import envelope
from crymapd.imap.wire.strings import ASCII, UTF8, Strings
from crymapd.imap.wire.structure import structure
from crymapd.imap.wire.writer import without_nul
from crymapd.mime.header import field_selector
from crymapd.mime.parts import MAX_HEADER, Part, walk
from crymapd.store.summary import Prepared

COMMON_FIELDS = frozenset(
    (
        b"from",
        b"to",
        b"cc",
        b"bcc",
        b"subject",
        b"date",
        b"message-id",
        b"priority",
        b"x-priority",
        b"references",
        b"newsgroups",
        b"in-reply-to",
        b"content-type",
        b"reply-to",
    )
)
"""The header fields that Thunderbird fetches for every message."""
_select_common = field_selector(tuple(sorted(COMMON_FIELDS)))


def prepare(root: Part) -> Prepared:
    """Write the prepared answers of one message, for clients without and with UTF-8."""
    header = root.header.raw
    envelope8, body8, structure8 = (None, None, None) if _is_ascii(root) else _rendered(root, UTF8)
    fields = without_nul(_select_common(header)) if len(header) < MAX_HEADER else None
    return Prepared(*_rendered(root, ASCII), envelope8, body8, structure8, fields)


def _rendered(root: Part, strings: Strings) -> tuple[bytes, bytes, bytes]:
    """Write ENVELOPE, BODY and BODYSTRUCTURE."""
    return (
        envelope(root.header, strings),
        structure(root, extended=False, out=strings),
        structure(root, extended=True, out=strings),
    )


def _is_ascii(root: Part) -> bool:
    """Whether every header block is ASCII, so that both kinds of client get the same octets."""
    return all(part.header.raw.isascii() for part in walk(root))
