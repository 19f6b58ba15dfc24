"""What SEARCH reads: names of attachments (RFC 2231), and charsets under names that IANA knows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crymapd.mime import text
from crymapd.mime.charsets import charset, charset_names, decode
from crymapd.mime.content import with_crlf
from crymapd.mime.encoded_words import decode_words
from crymapd.mime.header import Header
from crymapd.mime.text import extended_values, header_lines


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (b"attachment; filename*=utf-8''b%C3%A9ton.pdf", ["b\u00e9ton.pdf"]),
        (b"attachment; filename*=iso-8859-1'fr'b%E9ton.pdf", ["b\u00e9ton.pdf"]),
        (b"x/y; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
         ["This is even more ***fun*** isn't it!"]),
        (b"x/y; URL*1=two; URL*0=one", ["onetwo"]),
        (b"attachment; filename*=no%20quotes", ["no quotes"]),
        (b"attachment; filename*=x-none''a%C3%A9", ["a\u00e9"]),
        (b"attachment; filename*=''", [""]),
        (b"attachment; filename=plain; filename*0*=%; filename*99999=x; f**=y; *=z", ["%"]),
        (b"", []),
    ],
)  # fmt: skip
def test_extended_values(field: bytes, values: list[str]) -> None:
    """Sections 3 and 4, the example of section 4.1 among them; what is wrong is read as far as it goes."""
    assert extended_values(field) == values


def test_in_headers() -> None:
    header = Header(b"Content-Disposition: attachment;\r\n filename*0*=utf-8''b%C3%A9;\r\n filename*1=ton.pdf\r\n\r\n")
    assert "b\u00e9ton.pdf" in header_lines(header)


def test_charsets_have_names_that_can_be_asked_for() -> None:
    names = charset_names()
    known = {
        "US-ASCII",
        "UTF-8",
        "ISO-8859-1",
        "ISO-8859-15",
        "WINDOWS-1252",
        "KOI8-R",
        "EUC-JP",
        "ISO-2022-JP",
        "SHIFT_JIS",
    }
    assert known <= set(names)
    assert None not in {charset(name) for name in names}


def test_text_can_be_encoded_again() -> None:
    """UTF-7 can spell half a surrogate pair."""
    assert decode(b"+2AA- hello +2AA", "utf-7") == "\ufffd hello \ufffd"
    assert decode(b"+2D3cAA-", "utf-7") == "\U0001f400"
    assert decode_words(b"=?utf-7?q?+2AA-?= x") == "\ufffd x"
    pieces = (b"+2AA-", b"\xd8\x00", b"\x00\xd8", b"\x00\x00\xd8\x00", b"\xed\xa0\x80", bytes(range(256)))
    for name in charset_names():
        for data in pieces:
            decode(data, name).encode()


@pytest.mark.parametrize("text", [b"a\nb\r\nc\r\r\n\n\n\rd\r", b"\n", b"\r\n", b"\r", b"", b"\n\r\n\n\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_end_with_crlf(text: bytes, size: int) -> None:
    """However it comes in pieces, empty ones among them; a bare CR stays."""
    whole = text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    pieces = [piece for at in range(0, len(text), size) for piece in (b"", text[at : at + size])]
    assert b"".join(with_crlf(pieces)) == whole


@given(
    st.lists(
        st.sampled_from((b"Ann", b"Doe", b" ", b" <", b"<", b"a", b".", b"-", b"@", b"example.org", b">", b"\r\n"))
    )
)
def test_plain_addresses_are_written_as_parsed_ones(pieces: list[bytes]) -> None:
    """The notation of most mail is recognised without being parsed, which must not change it."""
    value = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_PLAIN_ADDRESS", re.compile(b"(?!)"))
        parsed = text.address_text(value)
    assert text.address_text(value) == parsed
    assert text.address_text(b" Ann Doe <ann.d@example.org>\r\n") == "Ann Doe <ann.d@example.org>"
