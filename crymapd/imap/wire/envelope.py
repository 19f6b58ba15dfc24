"""ENVELOPE (RFC 9051 section 7.5.2), ready for the wire."""

from __future__ import annotations

from itertools import islice

from crymapd.imap.wire.strings import ASCII, Strings, parenthesized
from crymapd.mime import addresses
from crymapd.mime.header import Header

MAX_ADDRESSES = 5000


def envelope(header: Header, out: Strings = ASCII) -> bytes:
    """The ten fields; From stands in for a missing or empty Sender and Reply-To."""
    sender_of = address_list(header.all(b"from"), out)
    fields = [
        out.nstring(header.first(b"date")),
        out.text(header.first(b"subject")),
        sender_of,
        _or(address_list(header.all(b"sender"), out), sender_of),
        _or(address_list(header.all(b"reply-to"), out), sender_of),
        address_list(header.all(b"to"), out),
        address_list(header.all(b"cc"), out),
        address_list(header.all(b"bcc"), out),
        out.nstring(header.first(b"in-reply-to")),
        out.nstring(header.first(b"message-id")),
    ]
    return parenthesized(fields)


def _or(value: bytes, fallback: bytes) -> bytes:
    return fallback if value == b"NIL" else value


def address_list(fields: list[bytes], out: Strings = ASCII) -> bytes:
    """Every address of the fields, or NIL."""
    found = list(islice((address for field in fields for address in addresses.each(field)), MAX_ADDRESSES))
    return b"(" + b"".join(_address(address, out) for address in found) + b")" if found else b"NIL"


def _address(address: addresses.Address, out: Strings) -> bytes:
    return parenthesized(
        [
            out.text(address.name),
            out.nstring(address.route),
            out.text(address.mailbox),
            out.host(address.host),
        ]
    )
