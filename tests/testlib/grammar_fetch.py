"""The grammar of FETCH: items, sections, envelopes and body structures (RFC 9051 section 9, msg-att)."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.testlib.answers import (
    Address,
    Body,
    Disposition,
    Envelope,
    Extension,
    ExtensionValue,
    Fetch,
    FetchValue,
    Multipart,
    Parameters,
    Part,
)
from tests.testlib.scanner import NUMBER64, Scanner

_PART = re.compile(rb"[1-9][0-9]*(?:\.[1-9][0-9]*)*")
_PLAIN = re.compile(r'[^\x00-\x20\x7f-\xff(){%*"\\]+')


def fetch(s: Scanner, number: int) -> Fetch:
    """RFC 9051: msg-att. What follows `FETCH SP`."""
    s.expect(b"(")
    items = [_item(s)]
    while not s.accept(b")"):
        s.sp()
        items.append(_item(s))
    return Fetch(number, tuple(items))


def _item(s: Scanner) -> tuple[str, FetchValue]:
    start = s.position
    name = s.word("a FETCH item")
    if name == "BODY" and s.sees(b"["):
        return _body_section(s)
    if name in ("BINARY", "BINARY.SIZE"):
        return _binary(s, name)
    if name not in _ITEMS:
        s.fail("a FETCH item", start)
    s.sp()
    return name, _ITEMS[name](s)


def _flags(s: Scanner) -> tuple[str, ...]:
    return s.flag_list(recent=True)


def _parenthesised_modseq(s: Scanner) -> int:
    s.expect(b"(")
    value = s.modseq()
    s.expect(b")")
    return value


def _object_id(s: Scanner) -> str:
    s.expect(b"(")
    value = s.object_id()
    s.expect(b")")
    return value


def _body_section(s: Scanner) -> tuple[str, FetchValue]:
    section = _section(s)
    origin = _origin(s)
    s.sp()
    return f"BODY{section}{origin}", s.noctets()


def _origin(s: Scanner) -> str:
    """RFC 9051: "<" number ">", the first octet of a partial answer."""
    if not s.accept(b"<"):
        return ""
    octet = s.number64()
    s.expect(b">")
    return f"<{octet}>"


def _binary(s: Scanner, name: str) -> tuple[str, FetchValue]:
    """RFC 3516 section 4.2: BINARY and BINARY.SIZE."""
    s.expect(b"[")
    part = s.try_take(_PART)
    s.expect(b"]")
    section = f"[{part.group().decode() if part else ''}]"
    if name == "BINARY.SIZE":
        s.sp()
        return name + section, s.number()
    origin = _origin(s)
    s.sp()
    return name + section + origin, s.literal8() if s.sees(b"~") else s.noctets()


def _section(s: Scanner) -> str:
    """RFC 9051: section. The text between the brackets in capitals, with field names as astrings."""
    s.expect(b"[")
    part = s.try_take(_PART)
    words = [part.group().decode()] if part else []
    if not part or s.accept(b"."):
        words += [] if not part and s.sees(b"]") else [_section_text(s, mime=part is not None)]
    s.expect(b"]")
    return f"[{'.'.join(words)}]"


def _section_text(s: Scanner, *, mime: bool) -> str:
    start = s.position
    word = s.word("HEADER, TEXT or MIME")
    if word in ("HEADER", "TEXT") or (word == "MIME" and mime):
        return word
    if word not in ("HEADER.FIELDS", "HEADER.FIELDS.NOT"):
        s.fail("HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT or TEXT", start)
    s.sp()
    return f"{word} ({' '.join(_field_names(s))})"


def _field_names(s: Scanner) -> list[str]:
    s.expect(b"(")
    names = [_field_name(s)]
    while not s.accept(b")"):
        s.sp()
        names.append(_field_name(s))
    return names


def _field_name(s: Scanner) -> str:
    name = s.astring("a header field name").upper()
    return name if _PLAIN.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Envelopes


def envelope(s: Scanner) -> Envelope:
    """RFC 9051: envelope, ten fields."""
    s.expect(b"(")
    date = s.nstring()
    s.sp()
    subject = s.nstring()
    from_, sender, reply_to = _addresses(s), _addresses(s), _addresses(s)
    to, cc, bcc = _addresses(s), _addresses(s), _addresses(s)
    s.sp()
    in_reply_to = s.nstring()
    s.sp()
    message_id = s.nstring()
    s.expect(b")")
    return Envelope(date, subject, from_, sender, reply_to, to, cc, bcc, in_reply_to, message_id)


def _addresses(s: Scanner) -> tuple[Address, ...]:
    """RFC 9051: SP "(" 1*address ")" / nil; no spaces between addresses."""
    s.sp()
    if s.try_nil():
        return ()
    s.expect(b"(")
    found = [_address(s)]
    while not s.accept(b")"):
        found.append(_address(s))
    return tuple(found)


def _address(s: Scanner) -> Address:
    s.expect(b"(")
    name = s.nstring()
    s.sp()
    route = s.nstring()
    s.sp()
    mailbox = s.nstring()
    s.sp()
    host = s.nstring()
    s.expect(b")")
    return Address(name, route, mailbox, host)


# Body structures


def body(s: Scanner, *, extensible: bool) -> Body:
    """RFC 9051: body. Extension data MUST NOT come with the plain BODY item."""
    s.expect(b"(")
    found = _multipart(s, extensible) if s.sees(b"(") else _part(s, extensible)
    s.expect(b")")
    return found


def _multipart(s: Scanner, extensible: bool) -> Multipart:
    parts = []
    while s.sees(b"("):
        parts.append(body(s, extensible=extensible))
    s.sp()
    subtype = s.string()
    parameters: Parameters = ()
    extension = Extension()
    if extensible and s.accept(b" "):
        parameters = _parameters(s)
        extension = _extension(s, md5=None)
    return Multipart(tuple(parts), subtype, parameters, extension)


def _part(s: Scanner, extensible: bool) -> Part:
    kind = s.string()
    s.sp()
    subtype = s.string()
    s.sp()
    parameters, id_, description, encoding, octets = _fields(s)
    message = kind.upper() == "MESSAGE" and subtype.upper() in ("RFC822", "GLOBAL")
    inner_envelope, inner = _message(s, extensible) if message else (None, None)
    lines = _lines(s) if message or kind.upper() == "TEXT" else None
    extension = Extension()
    if extensible and s.accept(b" "):
        extension = _extension(s, md5=s.nstring())
    return Part(kind, subtype, parameters, id_, description, encoding, octets, lines, inner_envelope, inner, extension)


def _fields(s: Scanner) -> tuple[Parameters, str | None, str | None, str, int]:
    """RFC 9051: body-fields."""
    parameters = _parameters(s)
    s.sp()
    id_ = s.nstring()
    s.sp()
    description = s.nstring()
    s.sp()
    encoding = s.string()
    s.sp()
    return parameters, id_, description, encoding, s.number()


def _message(s: Scanner, extensible: bool) -> tuple[Envelope, Body]:
    s.sp()
    outer = envelope(s)
    s.sp()
    return outer, body(s, extensible=extensible)


def _lines(s: Scanner) -> int:
    s.sp()
    return s.number64()


def _parameters(s: Scanner) -> Parameters:
    if s.try_nil():
        return ()
    s.expect(b"(")
    found = [_parameter(s)]
    while not s.accept(b")"):
        s.sp()
        found.append(_parameter(s))
    return tuple(found)


def _parameter(s: Scanner) -> tuple[str, str]:
    name = s.string()
    s.sp()
    return name, s.string()


def _extension(s: Scanner, *, md5: str | None) -> Extension:
    """What may follow the first field (MD5 or parameters): disposition, language, location, others."""
    if not s.accept(b" "):
        return Extension(1, md5)
    disposition = _disposition(s)
    if not s.accept(b" "):
        return Extension(2, md5, disposition)
    language = _language(s)
    if not s.accept(b" "):
        return Extension(3, md5, disposition, language)
    location = s.nstring()
    others = []
    while s.accept(b" "):
        others.append(_body_extension(s))
    return Extension(4 + len(others), md5, disposition, language, location, tuple(others))


def _disposition(s: Scanner) -> Disposition | None:
    if s.try_nil():
        return None
    s.expect(b"(")
    kind = s.string()
    s.sp()
    parameters = _parameters(s)
    s.expect(b")")
    return Disposition(kind, parameters)


def _language(s: Scanner) -> tuple[str, ...]:
    if not s.accept(b"("):
        tag = s.nstring()
        return () if tag is None else (tag,)
    tags = [s.string()]
    while not s.accept(b")"):
        s.sp()
        tags.append(s.string())
    return tuple(tags)


def _body_extension(s: Scanner) -> ExtensionValue:
    if not s.accept(b"("):
        return s.number(most=NUMBER64) if s.data[s.position : s.position + 1].isdigit() else s.nstring()
    values = [_body_extension(s)]
    while not s.accept(b")"):
        s.sp()
        values.append(_body_extension(s))
    return tuple(values)


_ITEMS: dict[str, Callable[[Scanner], FetchValue]] = {
    "FLAGS": _flags,
    "INTERNALDATE": Scanner.date_time,
    "ENVELOPE": envelope,
    "BODY": lambda s: body(s, extensible=False),
    "BODYSTRUCTURE": lambda s: body(s, extensible=True),
    "RFC822": Scanner.noctets,  # these three are RFC 3501 section 7.4.2 only
    "RFC822.HEADER": Scanner.noctets,
    "RFC822.TEXT": Scanner.noctets,
    "RFC822.SIZE": Scanner.number64,
    "UID": Scanner.nz_number,
    "MODSEQ": _parenthesised_modseq,  # RFC 7162 section 7
    "PREVIEW": Scanner.noctets,  # RFC 8970 section 6
    "SAVEDATE": lambda s: None if s.try_nil() else s.date_time(),  # RFC 8514 section 7
    "EMAILID": _object_id,  # RFC 8474 section 7
    "THREADID": lambda s: None if s.try_nil() else _object_id(s),
}
