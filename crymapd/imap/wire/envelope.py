"""ENVELOPE (RFC 9051 section 7.5.2), ready for the wire."""

from __future__ import annotations

from itertools import islice

from crymapd.imap.wire.strings import ASCII, Strings, parenthesized
from crymapd.mime import addresses
from crymapd.mime.header import Header

MAX_ADDRESSES = 5000
"""The most addresses that are written for one kind of field; any others are left out."""


def envelope(header: Header, out: Strings = ASCII) -> bytes:
    """Write the ten fields; From stands in for a missing or empty Sender or Reply-To."""
    from_list = address_list(header.all(b"from"), out)
    fields = [
        out.nstring(header.first(b"date")),
        out.text(header.first(b"subject")),
        from_list,
        _first_not_nil(address_list(header.all(b"sender"), out), from_list),
        _first_not_nil(address_list(header.all(b"reply-to"), out), from_list),
        address_list(header.all(b"to"), out),
        address_list(header.all(b"cc"), out),
        address_list(header.all(b"bcc"), out),
        out.nstring(header.first(b"in-reply-to")),
        out.nstring(header.first(b"message-id")),
    ]
    return parenthesized(fields)


def _first_not_nil(value: bytes, fallback: bytes) -> bytes:
    return fallback if value == b"NIL" else value


def address_list(fields: list[bytes], out: Strings = ASCII) -> bytes:
    """Write the addresses of all these fields as one list, or NIL if they hold none."""
    every = (address for field in fields for address in addresses.each(field))
    written = b"".join(_address(address, out) for address in islice(every, MAX_ADDRESSES))
    return b"(" + written + b")" if written else b"NIL"


def _address(address: addresses.Address, out: Strings) -> bytes:
    return parenthesized(
        [
            out.text(address.name),
            out.nstring(address.route),
            out.text(address.mailbox),
            out.host(address.host),
        ]
    )
