"""ENVELOPE (RFC 9051 section 7.5.2), ready for the wire."""

from __future__ import annotations

from crymapd.mime import addresses, wire
from crymapd.mime.header import Header

MAX_ADDRESSES = 5000


def envelope(header: Header) -> bytes:
    """The ten fields; From stands in for a missing or empty Sender and Reply-To."""
    sender_of = address_list(header.all(b"from"))
    fields = [
        wire.nstring(header.first(b"date")),
        wire.text(header.first(b"subject")),
        sender_of,
        _or(address_list(header.all(b"sender")), sender_of),
        _or(address_list(header.all(b"reply-to")), sender_of),
        address_list(header.all(b"to")),
        address_list(header.all(b"cc")),
        address_list(header.all(b"bcc")),
        wire.nstring(header.first(b"in-reply-to")),
        wire.nstring(header.first(b"message-id")),
    ]
    return wire.parenthesized(fields)


def _or(value: bytes, fallback: bytes) -> bytes:
    return fallback if value == b"NIL" else value


def address_list(fields: list[bytes]) -> bytes:
    """Every address of the fields, or NIL."""
    found = [address for field in fields for address in addresses.parse(field)][:MAX_ADDRESSES]
    return b"(" + b"".join(map(_address, found)) + b")" if found else b"NIL"


def _address(address: addresses.Address) -> bytes:
    return wire.parenthesized(
        [
            wire.text(address.name),
            wire.nstring(address.route),
            wire.text(address.mailbox),
            wire.nstring(address.host),
        ]
    )
